"""twolayernet convert: the same numbers in every format, and a C header that computes the same."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from program import Run, refusal

SHAPES = {
    "layers.0.weight": (100, 64),
    "layers.0.bias": (100,),
    "layers.2.weight": (10, 100),
    "layers.2.bias": (10,),
}


def test_there_and_back(run: Run, digits_model: Path, tmp_path: Path) -> None:
    run("convert", digits_model, "a.safetensors")
    run("convert", "a.safetensors", "b.npz")
    # PyTorch's files have their own name inside.
    run("convert", "b.npz", digits_model.name)
    assert (tmp_path / digits_model.name).read_bytes() == digits_model.read_bytes()


def test_every_command_reads_every_format(run: Run, digits_model: Path) -> None:
    expected = run("test", "--model", digits_model).stdout
    for name in ["a.safetensors", "b.npz"]:
        run("convert", digits_model, name)
        assert run("test", "--model", name).stdout == expected


def test_numpy_reads_it(run: Run, digits_model: Path, tmp_path: Path) -> None:
    run("convert", digits_model, "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == SHAPES
        assert all(arrays[name].dtype == np.float32 for name in arrays)
        assert abs(arrays["layers.0.weight"]).max() > 0.1


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["<f4", "<f8", "<f2", ">f4", "fortran"])
def test_numpy_wrote_it(run: Run, digits_model: Path, tmp_path: Path, save: object, kind: str) -> None:
    run("convert", digits_model, "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        values = {name: arrays[name] for name in arrays}
    if kind == "fortran":
        values = {name: np.asfortranarray(value) for name, value in values.items()}
    else:
        values = {name: value.astype(kind) for name, value in values.items()}
    assert callable(save)
    save(tmp_path / "b.npz", **values)
    run("convert", "b.npz", "c.npz")
    with np.load(tmp_path / "c.npz") as arrays:
        for name, value in values.items():
            assert np.array_equal(arrays[name], value.astype(np.float32))


@pytest.mark.parametrize(
    "damage", ["missing", "extra", "shape", "integers", "text", "cut off", "objects", "nan", "long header"]
)
def test_wrong_npz(run: Run, tmp_path: Path, damage: str) -> None:
    values = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    if damage == "missing":
        del values["layers.2.bias"]
    elif damage == "extra":
        values["more"] = np.zeros(3, np.float32)
    elif damage == "shape":
        values["layers.2.bias"] = np.zeros(11, np.float32)
    elif damage == "integers":
        values["layers.2.bias"] = np.array(["a"] * 10)
    elif damage == "objects":
        values["layers.2.bias"] = np.array([None] * 10, dtype=object)
    elif damage == "nan":
        values["layers.2.bias"][3] = np.nan
    np.savez(tmp_path / "a.npz", **values)  # type: ignore[arg-type]
    file = tmp_path / "a.npz"
    if damage == "text":
        file.write_text("hello")
    elif damage == "cut off":
        file.write_bytes(file.read_bytes()[:-30])
    elif damage == "long header":
        header = b"{" + b" " * (1 << 24)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in SHAPES:
                size = struct.pack("<I", len(header))
                archive.writestr(f"{name}.npy", b"\x93NUMPY\x02\x00" + size + header)
    assert "a.npz" in refusal(run("convert", "a.npz", "b.pth", code=1))
    assert not (tmp_path / "b.pth").exists()


PROGRAM = r"""
#include <stdio.h>
#include "small_net.h"
int main(void) {
  float input[SMALL_NET_INPUTS], logits[SMALL_NET_OUTPUTS];
  while (fread(input, sizeof input, 1, stdin) == 1) {
    small_net_logits(input, logits);
    for (int i = 0; i < SMALL_NET_OUTPUTS; i++) printf("%.9g ", (double)logits[i]);
    printf("%d\n", small_net_predict(input));
  }
  return 0;
}
"""


@pytest.mark.parametrize(
    ("compiler", "source"), [(["cc", "-std=c99"], "main.c"), (["c++", "-std=c++17"], "main.cpp")]
)
def test_a_c_header_that_computes_the_same(
    run: Run, digits_model: Path, tmp_path: Path, compiler: list[str], source: str
) -> None:
    compiler[0] = os.environ.get("CC" if source == "main.c" else "CXX", compiler[0])
    if not shutil.which(compiler[0]):
        pytest.skip(f"no {compiler[0]}")
    run("convert", digits_model, "small_net.h")
    (tmp_path / source).write_text(PROGRAM)
    subprocess.run(
        [*compiler, "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", source, "-o", "main"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    numbers = np.random.default_rng(0).random((50, 64), dtype=np.float32).tobytes()
    output = subprocess.run([tmp_path / "main"], input=numbers, capture_output=True, check=True).stdout
    table = np.array([line.split() for line in output.decode().splitlines()], dtype=float)
    exponentials = np.exp(table[:, :10] - table[:, :10].max(axis=1, keepdims=True))
    expected = run("predict", "--model", digits_model, "--json", stdin=numbers)
    assert len(table) == 50
    for line, own, label in zip(expected.stdout.splitlines(), exponentials, table[:, 10]):
        answer = json.loads(line)
        assert answer["label"] == label
        assert np.allclose(answer["probabilities"], own / own.sum(), atol=1e-5)


@pytest.mark.parametrize(
    ("file", "prefix"),
    [
        ("net.h", "net"), ("my-net 2.h", "my_net_2"), ("2.h", "network_2"), ("_net__1_.h", "net_1"),
        ("数字.h", "network"),
    ],
)  # fmt: skip
def test_names_that_c_leaves_to_programs(
    run: Run, digits_model: Path, tmp_path: Path, file: str, prefix: str
) -> None:
    """Not those with an underscore in front or two in a row."""
    run("convert", digits_model, file)
    text = (tmp_path / file).read_text()
    assert f"int {prefix}_predict(" in text and f"#define {prefix.upper()}_INPUTS 64" in text


def test_endings(run: Run, digits_model: Path, tmp_path: Path) -> None:
    for target in ["a.onnx", "a", "missing/a.pth"]:
        refusal(run("convert", digits_model, target, code=1))
    (tmp_path / "a.h").write_text("int x;")
    message = refusal(run("convert", "a.h", "b.pth", code=1))
    assert "a.h" in message and ".npz" in message
    refusal(run("convert", digits_model, code=64))


def test_the_old_file_survives(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b.pth").write_text("precious")
    (tmp_path / "a.pth").write_text("hello")
    refusal(run("convert", "a.pth", "b.pth", code=1))
    assert (tmp_path / "b.pth").read_text() == "precious"
