"""The data that is measured on: MNIST where it is, else images like it; images as dense as Fashion-MNIST's;
Gaussian numbers. All as .npy files, which every peer maps, so that they share one copy."""

import gzip
import os
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so"))
sys.path.insert(0, str(ROOT / "bindings/python/src"))

from twolayernet.compare import data as mnist  # noqa: E402


class Datasets:
    """Arrays under a directory, by name; each is made when it is first asked for."""

    def __init__(self, place: pathlib.Path, directory: pathlib.Path | None) -> None:
        self.place = place
        self.is_generated = directory is None
        if directory is None:
            directory = place / "mnist"
            directory.mkdir()
            write_idx(directory, *blobs(60_000, 0.191), *blobs(10_000, 0.191, seed=1))
        # The four files, of which the programs that read .gz need that form.
        self.directory = place / "gz"
        self.directory.mkdir()
        for name, path in zip(mnist.FILES, mnist.find(directory)):
            content = path.read_bytes()
            packed = content if content[:2] == b"\x1f\x8b" else gzip.compress(content, 9)
            (self.directory / f"{name}.gz").write_bytes(packed)

    def mnist(self, train: bool) -> dict[str, str]:
        """The images as bytes, with their labels."""
        name = "train" if train else "test"
        if not (self.place / f"{name}.features.npy").exists():
            images, labels = mnist.find(self.directory)[:2] if train else mnist.find(self.directory)[2:]
            pixels = np.frombuffer(mnist.contents(images), np.uint8, offset=16)
            self._keep(
                name, pixels.reshape(-1, 784), np.frombuffer(mnist.contents(labels), np.uint8, offset=8)
            )
        return self._paths(name)

    def fashion(self) -> dict[str, str]:
        """60,000 images of which half the pixels are not zero, in blobs."""
        if not (self.place / "fashion.features.npy").exists():
            self._keep("fashion", *blobs(60_000, 0.5))
        return self._paths("fashion")

    def gaussian(self, rows: int, columns: int, density: float = 1.0) -> dict[str, str]:
        """float32 from a normal distribution; a share of 1 - density is zero."""
        name = f"gaussian-{rows}-{columns}-{density}"
        if not (self.place / f"{name}.features.npy").exists():
            rng = np.random.default_rng(0)
            path = self.place / f"{name}.features.npy"
            values = np.lib.format.open_memmap(path, "w+", np.float32, (rows, columns))
            for first in range(0, rows, 100_000):
                block = values[first : first + 100_000]
                block[:] = rng.standard_normal(block.shape, np.float32)
                if density < 1:
                    block[rng.random(block.shape, np.float32) >= density] = 0
            values.flush()
            np.save(self.place / f"{name}.labels.npy", rng.integers(0, 10, rows).astype(np.uint8))
        return self._paths(name)

    def forget(self, paths: dict[str, str]) -> None:
        """Deletes arrays that are not needed any more."""
        for path in paths.values():
            pathlib.Path(path).unlink()

    def _keep(self, name: str, features: np.ndarray, labels: np.ndarray) -> None:
        np.save(self.place / f"{name}.features.npy", features)
        np.save(self.place / f"{name}.labels.npy", labels)

    def _paths(self, name: str) -> dict[str, str]:
        return {part: str(self.place / f"{name}.{part}.npy") for part in ("features", "labels")}


def blobs(count: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images [count, 784] of smooth blobs, of whose pixels `share` is not zero, and their labels.

    Each of ten classes has a coarse field of its own, to which each image adds one; where the sum is
    above a threshold the image is bright.
    """
    classes = np.random.default_rng(99).standard_normal((10, 49), np.float32)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    # From 7x7 to 28x28: linear between the centres.
    centres = np.clip((np.arange(28) - 1.5) / 4, 0, 6)
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(7))).astype(np.float32)
    spread = np.kron(weights, weights)
    images = np.empty((count, 784), np.uint8)
    for first in range(0, count, 10_000):
        some = labels[first : first + 10_000]
        coarse = classes[some] + rng.standard_normal((len(some), 49), np.float32)
        fine = coarse @ spread.T
        fine -= np.quantile(fine, 1 - share)
        images[first : first + 10_000] = np.where(fine > 0, np.minimum(fine * 100 + 1, 255), 0)
    return images, labels


def write_idx(
    directory: pathlib.Path,
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
) -> None:
    """Four files as MNIST's."""
    for name, array in zip(mnist.FILES, [train_images, train_labels, test_images, test_labels]):
        sizes = [len(array), 28, 28] if array.ndim == 2 else [len(array)]
        header = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
        (directory / f"{name}.gz").write_bytes(gzip.compress(header + array.tobytes(), 6))
