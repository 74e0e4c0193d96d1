"""The built program, run for real, on the digits inside it and on MNIST or Fashion-MNIST where they are.

TLN_TEST_CLI names the program; else it is .build/release/twolayernet.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from conftest_data import places
from program import FASHION, ROOT, Run

# Of the published train-labels-idx1-ubyte.gz.
MNIST_MD5 = "d53e105ee54ea40749a09fcbcd1e9432"


@pytest.fixture(scope="session")
def program() -> Path:
    path = Path(os.environ.get("TLN_TEST_CLI", ROOT / ".build/release/twolayernet")).resolve()
    assert path.exists(), f"{path} is missing; run `make cli` first"
    return path


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    """Runs the program in a directory of the test's own; it must end with `code`."""

    def start(
        *arguments: object, code: int = 0, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [program, *map(str, arguments)], cwd=tmp_path, input=stdin, capture_output=True, timeout=120,
            env=os.environ | environment, check=False,
        )  # fmt: skip
        text = subprocess.CompletedProcess(
            result.args, result.returncode, result.stdout.decode(), result.stderr.decode()
        )
        assert text.returncode == code, text.stderr
        return text

    return start


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


def published_mnist() -> Path | None:
    for place in map(Path, places()):
        labels = place / "train-labels-idx1-ubyte.gz"
        if labels.exists() and hashlib.md5(labels.read_bytes()).hexdigest() == MNIST_MD5:
            return place.resolve()
    return None


@pytest.fixture(scope="session")
def mnist() -> Path:
    """MNIST's four files as published."""
    return published_mnist() or pytest.skip(
        "MNIST's files are not here; TLN_MNIST names their directory"
    )


@pytest.fixture(scope="session")
def images() -> tuple[Path, str]:
    """A directory with 28x28 images, and the name of the dataset."""
    if directory := published_mnist():
        return directory, "mnist"
    if FASHION.exists():
        return FASHION, "fashion-mnist"
    return pytest.skip("neither MNIST (TLN_MNIST) nor Debian's dataset-fashion-mnist is here")
