"""Where the tests find what was built, and the data they train on."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Tests"))

from conftest_data import digits, enlarged_digits, mnist  # noqa: E402, F401


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def library() -> pathlib.Path:
    """The shared library, as `make lib` leaves it, or the one that TLN_TEST_LIBRARY names."""
    path = pathlib.Path(os.environ.get("TLN_TEST_LIBRARY", ROOT / "dist/libtwolayernet.so"))
    assert path.exists(), f"{path} is missing; run `make lib` first"
    return path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A prefix into which `make install` has put everything."""
    prefix = tmp_path_factory.mktemp("prefix") / "usr"
    subprocess.run(["make", "-s", "install", f"PREFIX={prefix}"], cwd=ROOT, check=True)
    return prefix
