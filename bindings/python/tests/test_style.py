"""What mypy, ruff and vermin say about the package."""

import pathlib
import shutil
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "tool, arguments",
    [
        ("mypy", ["--cache-dir", "/dev/null"]),
        ("ruff", ["check", "--no-cache", "."]),
        ("vermin", ["--target=3.9-", "--no-tips", "--violations", "--eval-annotations", "src", "examples"]),
    ],
)
def test_tools_find_nothing(tool, arguments):
    program = shutil.which(tool, path=pathlib.Path(sys.executable).parent)
    if program is None:
        pytest.skip(f"{tool} is not installed beside this Python")
    result = subprocess.run([program, *arguments], cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
