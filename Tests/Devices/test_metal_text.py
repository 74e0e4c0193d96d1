"""The text of the GPU kernels as Metal's compiler would read it, which only runs on Apple's systems."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent / "MetalText"


def check(kernels: pathlib.Path) -> str:
    """The compiler's errors, in C++14 as Metal has it."""
    compiler = shutil.which("clang++")
    if not compiler:
        pytest.skip("clang++ is not installed")
    done = subprocess.run(
        [compiler, "-std=c++14", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function"]
        + ["-Wno-unknown-attributes", "-D__METAL_VERSION__=300", f"-I{HERE}", f"-I{kernels}", HERE / "kernels.cpp"],
        capture_output=True,
        text=True,
    )
    return done.stderr


def test_the_kernels_are_metal_as_far_as_a_cpp_compiler_can_tell() -> None:
    assert check(ROOT / "Sources/CGPUKernels") == ""


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("elementwise.h", "const int lower", "const int half"),
        ("dialect.h", "groups, index;", "groups, thread;"),
        ("hidden.h", "TLNG_GLOBAL(const float) w1", "const float *w1"),
        ("orders.h", "float sum = 0;", "double sum = 0;"),
    ],
)
def test_what_metal_would_refuse_is_noticed(tmp_path: pathlib.Path, file: str, old: str, new: str) -> None:
    for header in (ROOT / "Sources/CGPUKernels").glob("*.h"):
        text = header.read_text()
        if header.name == file:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / header.name).write_text(text)
    assert "error" in check(tmp_path)
