"""The GPU kernels as they are in the library: the PTX is what the text compiles to, and Metal gets the text."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import zlib

import pytest

KERNELS = pathlib.Path(__file__).resolve().parents[2] / "Sources/CGPUKernels"
PACKED = KERNELS / "kernels.ptx.z"
sys.path.insert(0, str(KERNELS))

import generate  # noqa: E402
from test_metal_text import check as metal_errors  # noqa: E402


def unpacked(contents: bytes) -> tuple[bytes, bytes]:
    """The sizes, and the relative form: another zlib may pack it in another way."""
    return contents[:8], zlib.decompress(contents[8:])


def test_the_ptx_is_what_the_text_compiles_to(tmp_path: pathlib.Path) -> None:
    # In a process of its own: the compiler changes the locale.
    target = tmp_path / "kernels.ptx.z"
    texts = []
    # Once in many times the compiler puts things of equal worth in another order.
    for _ in range(4):
        done = subprocess.run([sys.executable, KERNELS / "generate.py", target], capture_output=True, text=True)
        if done.returncode == 77:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        texts.append(unpacked(target.read_bytes()))
        if texts[-1] == unpacked(PACKED.read_bytes()):
            break
    assert unpacked(PACKED.read_bytes()) in texts, "run Sources/CGPUKernels/generate.py"


def test_the_driver_gets_the_ptx(root: pathlib.Path, library: pathlib.Path, driver: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """What the library unpacks is what was packed."""
    environment = {"LD_LIBRARY_PATH": str(driver), "FAKE_CUDA_PTX": str(tmp_path / "ptx")}
    environment |= {"TWOLAYERNET_LIBRARY": str(library), "PYTHONPATH": str(root / "bindings/python/src")}
    program = "import twolayernet; twolayernet.Network(5, 4, 3, device='cuda')"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | environment)
    ptx = (tmp_path / "ptx").read_text()
    assert unpacked(generate.packed(ptx)) == unpacked(PACKED.read_bytes())
    assert set(re.findall(r"\.entry (\w+)\(", ptx)) == set(re.findall(r"^TLNG_(?:\w+_)?KERNEL\((\w+)\)", (KERNELS / "kernels.h").read_text(), re.M))


def test_the_arithmetic_is_rounded_as_written(tmp_path: pathlib.Path) -> None:
    """Each operation says how it rounds, so that the driver's compiler may not join two of them."""
    relative = unpacked(PACKED.read_bytes())[1]
    operations = set(re.findall(rb"\n((?:add|sub|mul|div|fma|mad|rcp|sqrt)[.\w]*\.f32) ", relative))
    assert {b"add.rn.f32", b"mul.rn.f32", b"fma.rn.f32", b"div.rn.f32"} <= operations
    assert all(b".rn" in operation and b".ftz" not in operation for operation in operations)
    assert not re.search(rb"\.f64|approx|\btf32", relative)


def test_metal_gets_the_whole_text(tmp_path: pathlib.Path) -> None:
    """The parts, one after the other and without includes, define every kernel but the one that Metal cannot run."""
    source = (KERNELS / "embedded.c").read_text()
    parts = re.findall(r'^#embed "(\w+\.h)"', source, re.M)
    others = {"embedded.h", *(path.name for path in KERNELS.glob("resident*.h"))}
    assert sorted(parts) == sorted(path.name for path in KERNELS.glob("*.h") if path.name not in others)
    for index, part in enumerate(parts):
        included = re.findall(r'^#include "(\w+\.h)"', (KERNELS / part).read_text(), re.M)
        assert set(included) - others <= set(parts[:index]), f"{part} comes before what it includes"
    # As MetalDriver.swift puts it together.
    lines = "".join((KERNELS / part).read_text() for part in parts).splitlines(keepends=True)
    (tmp_path / "kernels.h").write_text("".join(line for line in lines if not line.startswith('#include "')))
    assert metal_errors(tmp_path) == ""


def test_the_metal_driver_compiles(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Against declarations of Metal by hand: it can only be run on Apple's systems."""
    header = root / "Sources/CSystem/include/system.h"
    (tmp_path / "module.modulemap").write_text(f'module CSystem {{ header "{header}" export * }}')
    sources = sorted((root / "Sources/TwoLayerNet").rglob("*.swift"))
    done = subprocess.run(
        ["swiftc", "-typecheck", "-warnings-as-errors", "-swift-version", "6", "-package-name", "twolayernet"]
        + ["-module-name", "TwoLayerNet", "-D", "TLN_METAL_STUBS", "-I", tmp_path]
        + ["-I", root / "Sources/CKernels", "-I", KERNELS]
        + [*sources, root / "Tests/Devices/metal_stubs.swift"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
