"""twolayernet inspect: what is in a file, without running anything in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import Run, refusal

NAMES = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_every_tensor_with_its_statistics(run: Run, digits_model: Path, ending: str) -> None:
    run("convert", digits_model, f"a.{ending}")
    found = json.loads(run("inspect", f"a.{ending}", "--json").stdout)
    assert ending == "safetensors" or "PyTorch" in found["format"]
    tensors = {tensor["name"]: tensor for tensor in found["tensors"]}
    assert sorted(tensors) == sorted(NAMES)
    weight = tensors["layers.0.weight"]
    assert weight["shape"] == [100, 64] and weight["type"] == "float32"
    assert weight["minimum"] < weight["mean"] < weight["maximum"] and weight["deviation"] > 0


def test_words_for_people(run: Run, digits_model: Path) -> None:
    text = run("inspect", digits_model).stdout
    for name in NAMES:
        assert name in text
    assert "100 x 64" in text and "float32" in text


def test_the_state_of_a_training(run: Run) -> None:
    run("train", "--dataset", "digits", "--epochs", 1, "--save-every", 1)
    names = [
        t["name"] for t in json.loads(run("inspect", "mnist.checkpoint.pth", "--json").stdout)["tensors"]
    ]
    for name in NAMES:
        assert f"model.{name}" in names
    assert len(names) == 8


@pytest.mark.parametrize("contents", [b"", b"hello", b"PK\3\4" + bytes(100), b"\x80\2]q\0."])
def test_other_files(run: Run, tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(contents)
    assert "a.pth" in refusal(run("inspect", "a.pth", code=1))


def test_a_missing_file(run: Run) -> None:
    assert "b.pth" in refusal(run("inspect", "b.pth", code=1))
    refusal(run("inspect", code=64))
