"""The built program, run for real, on the digits inside it and on MNIST or Fashion-MNIST where they are.

TLN_TEST_CLI    the program; else .build/release/twolayernet
TLN_TEST_MNIST  a directory with MNIST's four files, .gz
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TLN_TEST_CLI", ROOT / ".build/release/twolayernet")).resolve()
FASHION = Path("/usr/share/datasets/fashion-mnist")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def program() -> Path:
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not built: make cli")
    return PROGRAM


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    """Runs the program in a directory of the test's own; it must end with `code`."""

    def start(
        *arguments: object, code: int = 0, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [program, *map(str, arguments)], cwd=tmp_path, input=stdin, capture_output=True, timeout=120,
            env=os.environ | environment,
        )  # fmt: skip
        text = subprocess.CompletedProcess(
            result.args, result.returncode, result.stdout.decode(), result.stderr.decode()
        )
        assert text.returncode == code, text.stderr
        return text

    return start


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """What a failed run said: nothing on standard output, and one line on standard error."""
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("twolayernet: ")
    return lines[0]


@pytest.fixture(scope="session")
def digits_model(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on the digits inside the program, with its log beside it."""
    directory = tmp_path_factory.mktemp("digits")
    subprocess.run(
        [program, "train", "--dataset", "digits", "--epochs", "30", "--output", "digits.pth",
         "--log", "digits.jsonl"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    return directory / "digits.pth"


@pytest.fixture(scope="session")
def mnist() -> Path:
    """MNIST as published."""
    directory = Path(os.environ.get("TLN_TEST_MNIST", ROOT / "data/MNIST/raw"))
    if not (directory / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("MNIST is not here (TLN_TEST_MNIST)")
    return directory


@pytest.fixture(scope="session")
def images() -> tuple[Path, str]:
    """A directory with 28x28 images, and the name of the dataset."""
    directory = Path(os.environ.get("TLN_TEST_MNIST", ROOT / "data/MNIST/raw"))
    if (directory / "train-images-idx3-ubyte.gz").exists():
        return directory, "mnist"
    if FASHION.exists():
        return FASHION, "fashion-mnist"
    pytest.skip("neither MNIST (TLN_TEST_MNIST) nor Debian's dataset-fashion-mnist is here")
