"""MNIST's four files in a directory, in the forms that the two sides want them."""

from __future__ import annotations

import gzip
import hashlib
import pathlib

FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def find(directory: pathlib.Path) -> list[pathlib.Path]:
    """The four files, raw or .gz, in the directory or its MNIST/raw."""
    for place in [directory, directory / "MNIST/raw"]:
        found = [
            next((path for path in (place / name, place / f"{name}.gz") if path.exists()), None)
            for name in FILES
        ]
        if all(found):
            return [path for path in found if path]
    raise FileNotFoundError(
        f"{directory} and {directory / 'MNIST/raw'} lack MNIST's files: {', '.join(FILES)}"
    )


def contents(path: pathlib.Path) -> bytes:
    """What is in a file, decompressed."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def identity(directory: pathlib.Path) -> str:
    """A hash of the four files' contents, by which recorded results name their data."""
    whole = hashlib.sha256()
    for path in find(directory):
        whole.update(contents(path))
    return whole.hexdigest()


def unpack(directory: pathlib.Path, root: pathlib.Path) -> None:
    """Puts the files where torchvision's MNIST(root) looks for them."""
    raw = root / "MNIST/raw"
    raw.mkdir(parents=True)
    for name, path in zip(FILES, find(directory)):
        (raw / name).write_bytes(contents(path))
