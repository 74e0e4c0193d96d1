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
    return unpack_digits(tmp_path_factory.mktemp("digits"))


def unpack_digits(directory: pathlib.Path) -> pathlib.Path:
    """Writes the embedded digits as four IDX files."""
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


@pytest.fixture(scope="session")
def enlarged_digits(digits: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The digits at the size of MNIST's images, in a directory."""
    return enlarge(digits, tmp_path_factory.mktemp("enlarged"))


def enlarge(digits: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Writes IDX files whose images are the digits' 8x8 pixels, each three times as wide and high, with a
    border of two pixels: 28x28, so that whatever was made for MNIST runs on them."""
    for images in digits.glob("*-images-*"):
        pixels = images.read_bytes()[16:]
        count = len(pixels) // 64
        border, side = bytes(2), bytes(56)
        rows = [pixels[start : start + 8] for start in range(0, len(pixels), 8)]
        wide = [border + bytes(value for value in row for _ in range(3)) + border for row in rows]
        whole = [side + b"".join(row * 3 for row in wide[k : k + 8]) + side for k in range(0, len(wide), 8)]
        header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (count, 28, 28))
        (directory / images.name).write_bytes(header + b"".join(whole))
    for labels in digits.glob("*-labels-*"):
        (directory / labels.name).write_bytes(labels.read_bytes())
    return directory
