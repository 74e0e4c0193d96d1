"""The data that the tests train on, as fixtures."""

import gzip
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def places() -> list[pathlib.Path]:
    """Where MNIST, or something like it, may be; the best first."""
    named = os.environ.get("TLN_MNIST")
    return [pathlib.Path(named)] if named else [
        ROOT / "../shared/mnist",
        ROOT / "data",
        ROOT / "data/MNIST/raw",
        pathlib.Path("/usr/share/datasets/fashion-mnist"),
    ]


@pytest.fixture(scope="session")
def mnist() -> pathlib.Path:
    """A directory with MNIST's four files: TLN_MNIST, else the usual places, else Fashion-MNIST."""
    for place in places():
        if any(place.glob("train-images-idx3-ubyte*")):
            return place.resolve()
    pytest.skip("neither MNIST nor Fashion-MNIST is on this machine; TLN_MNIST names its directory")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The embedded digits as four IDX files of a directory."""
    directory = tmp_path_factory.mktemp("digits")
    source = (ROOT / "Sources/CDigits/digits.c").read_text()
    for name, file in [
        ("train_images", "train-images-idx3-ubyte"),
        ("train_labels", "train-labels-idx1-ubyte"),
        ("test_images", "t10k-images-idx3-ubyte"),
        ("test_labels", "t10k-labels-idx1-ubyte"),
    ]:
        body = source.split(f"{name}[]")[1].split("{")[1].split("}")[0]
        compressed = bytes(int(number, 0) for number in body.replace("\n", "").split(",") if number.strip())
        (directory / file).write_bytes(gzip.decompress(compressed))
    return directory
