"""Where the data come from: directories, mirrors, the program itself; and data that are wrong."""

from __future__ import annotations

import functools
import gzip
import http.server
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from program import FASHION, Run, refusal

FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A little dataset of 4x4 pixels, raw."""
    directory = tmp_path / "small"
    directory.mkdir()
    random = np.random.default_rng(0)
    for part, rows in (("train", 60), ("t10k", 20)):
        images = random.integers(0, 256, (rows, 4, 4), dtype=np.uint8)
        labels = random.integers(0, 10, rows, dtype=np.uint8)
        (directory / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (directory / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return directory


def train(run: Run, directory: Path, code: int = 0, *more: object) -> subprocess.CompletedProcess[str]:
    return run("train", "--data", directory, "--epochs", 2, "--quiet", *more, code=code)


def test_raw_and_compressed_flat_and_torchvisions(run: Run, small: Path, tmp_path: Path) -> None:
    lines = train(run, small).stdout
    packed = tmp_path / "packed"
    packed.mkdir()
    for name in FILES:
        (packed / f"{name}.gz").write_bytes(gzip.compress((small / name).read_bytes()))
    assert train(run, packed).stdout == lines
    # Told by content, not by name.
    for name in FILES:
        shutil.copy(packed / f"{name}.gz", small / name)
    assert train(run, small).stdout == lines
    (tmp_path / "root/MNIST").mkdir(parents=True)
    packed.rename(tmp_path / "root/MNIST/raw")
    assert train(run, tmp_path / "root").stdout == lines
    (tmp_path / "root").rename(tmp_path / "data")
    assert run("train", "--epochs", 2, "--quiet").stdout == lines


def test_other_datasets_have_folders_of_their_own(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    small.rename(tmp_path / "data/small")
    shutil.copytree(tmp_path / "data/small", tmp_path / "data/FashionMNIST/raw")
    run("train", "--dataset", "fashion-mnist", "--epochs", 1)


def test_without_mnist_the_embedded_digits_are_used(run: Run, tmp_path: Path) -> None:
    result = run("train", "--epochs", 1, "--mirror", "file:///nowhere")
    assert "digits" in result.stderr and "file:///nowhere" in result.stderr
    assert result.stdout == run("train", "--epochs", 1, "--dataset", "digits").stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mnist.pth"]
    # What was trained on is what is tested on.
    assert "360 test images" in run("test").stdout


def test_mnist_that_was_asked_for_is_an_error(run: Run, tmp_path: Path) -> None:
    result = run("train", "--dataset", "mnist", "--mirror", "file:///nowhere", code=1)
    assert "could not be downloaded" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_data_and_the_digits_inside_exclude_each_other(run: Run, small: Path) -> None:
    assert "--dataset digits" in refusal(run("train", "--data", small, "--dataset", "digits", code=64))


def test_a_named_directory_is_not_replaced_by_something_else(run: Run, tmp_path: Path) -> None:
    message = refusal(run("train", "--data", tmp_path, code=1))
    assert str(tmp_path) in message and "twolayernet download mnist" in message


def test_a_mirror_on_disk(run: Run, mnist: Path, tmp_path: Path) -> None:
    run("download", "mnist", "--mirror", mnist.as_uri())
    for name in FILES:
        assert (tmp_path / f"data/MNIST/raw/{name}.gz").read_bytes() == (
            (mnist / f"{name}.gz").read_bytes()
        )
    # What is there and right is not fetched again.
    assert "downloading" not in run("download", "mnist", "--mirror", "file:///nowhere").stderr
    # What is there and wrong is.
    labels = tmp_path / "data/MNIST/raw/t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(b"damaged")
    result = run("download", "mnist", "--mirror", mnist.as_uri())
    assert result.stderr.count("downloading") == 1
    assert labels.read_bytes() == (mnist / labels.name).read_bytes()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and the rest of a file to those who ask for it."""

    asked: list[str]
    can_resume = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        self.asked.append(f"{path.name} from {first}")
        if first == "0" or not self.can_resume or not path.exists():
            super().do_GET()
            return
        rest = path.read_bytes()[int(first) :]
        if not rest:
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header(
            "Content-Range", f"bytes {first}-{path.stat().st_size - 1}/{path.stat().st_size}"
        )
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


@pytest.fixture
def server(mnist: Path) -> Iterator[str]:
    Handler.asked = []
    Handler.can_resume = True
    handler = functools.partial(Handler, directory=str(mnist))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("can_resume", [True, False])
def test_a_download_goes_on_where_it_stopped(
    run: Run, server: str, mnist: Path, tmp_path: Path, can_resume: bool
) -> None:
    Handler.can_resume = can_resume
    name = "train-images-idx3-ubyte.gz"
    partial = tmp_path / "data/MNIST/raw" / f"{name}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes((mnist / name).read_bytes()[:1000])
    run("download", "mnist", "--mirror", server, no_proxy="127.0.0.1")
    assert Handler.asked[0] == f"{name} from 1000"
    assert (f"{name} from 0" in Handler.asked) == (not can_resume)
    assert partial.with_suffix("").read_bytes() == (mnist / name).read_bytes()
    assert not partial.exists()


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("length", [7, None, 1 << 24])
def test_a_wrong_beginning_is_thrown_away(
    run: Run, server: str, mnist: Path, tmp_path: Path, length: int | None
) -> None:
    """Shorter than the file, as long, and longer: a server refuses to send what follows its end."""
    name = "train-images-idx3-ubyte.gz"
    file = tmp_path / "data/MNIST/raw" / name
    file.parent.mkdir(parents=True)
    file.with_name(f"{name}.part").write_bytes(bytes(length or (mnist / name).stat().st_size))
    run("download", "mnist", "--mirror", server, no_proxy="127.0.0.1")
    assert Handler.asked[1] == f"{name} from 0"
    assert file.read_bytes() == (mnist / name).read_bytes()


@pytest.mark.parametrize("mirror", ["/media/usb", "media/usb", "file://media/usb", "nonsense:"])
def test_a_mirror_that_is_no_address(run: Run, tmp_path: Path, mirror: str) -> None:
    for command in [("download", "mnist"), ("train",)]:
        message = refusal(run(*command, "--mirror", mirror, code=64))
        assert "file:///" in message and mirror in message
    assert list(tmp_path.iterdir()) == []


CURL = """#!/bin/sh
# Stands in for curl and wget: the last argument is the address, the one before it the file.
for argument; do before=$last last=$argument; done
echo "$(basename "$0") $last" >> "$LOG"
case $last in
"$GOOD"*) exec cp "$MNIST/${last##*/}" "$before" ;;
esac
echo "the server is away" >&2
exit 7
"""


@pytest.mark.parametrize("programs", [["curl"], ["wget"], ["curl", "wget"]])
def test_mirrors_are_tried_in_turn(run: Run, mnist: Path, tmp_path: Path, programs: list[str]) -> None:
    """With programs that stand in for the real ones: the real places cannot be asked in a test."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in programs:
        (tools / name).write_text(CURL)
        (tools / name).chmod(0o755)
    # What the stand-ins need, and not the real ones.
    for name in ["sh", "cp", "basename"]:
        (tools / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name}"))
    log = tmp_path / "log"
    good = "https://storage.googleapis.com/cvdf-datasets/mnist/"
    settings = {"PATH": str(tools), "LOG": str(log), "MNIST": str(mnist), "GOOD": good}
    run("download", "mnist", **settings)
    asked = log.read_text().splitlines()
    first = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    assert asked == [f"{programs[0]} {place}{name}.gz" for name in FILES for place in (first, good)]
    for name in FILES:
        assert (tmp_path / f"data/MNIST/raw/{name}.gz").read_bytes() == (mnist / f"{name}.gz").read_bytes()
    message = run("download", "mnist", "--data", "other", code=1, **(settings | {"GOOD": "none"})).stderr
    assert message.count("the server is away") == 2 and first in message and good in message
    message = run("download", "mnist", "--data", "other", code=1, **(settings | {"PATH": "/nowhere"})).stderr
    assert "neither curl nor wget is installed" in message


def test_a_download_that_was_complete(run: Run, mnist: Path, tmp_path: Path) -> None:
    directory = tmp_path / "data/MNIST/raw"
    directory.mkdir(parents=True)
    for name in FILES:
        shutil.copy(mnist / f"{name}.gz", directory / f"{name}.gz.part")
    run("download", "mnist", "--mirror", "file:///nowhere")
    assert sorted(p.name for p in directory.iterdir()) == sorted(f"{name}.gz" for name in FILES)


@pytest.mark.skipif(not (shutil.which("curl") or shutil.which("wget")), reason="no curl, no wget")
def test_a_mirror_on_the_network(run: Run, server: str, mnist: Path, tmp_path: Path) -> None:
    result = run("train", "--mirror", server, "--epochs", 1, "--seed", 42, no_proxy="127.0.0.1")
    assert result.stdout == "epoch=1, loss=2.29705\nFinished\n"
    assert (tmp_path / "data/MNIST/raw/train-labels-idx1-ubyte.gz").exists()
    message = run("download", "kmnist", "--mirror", server + "missing", code=1).stderr
    assert "404" in message


def test_a_wrong_checksum_is_not_believed(run: Run, small: Path, tmp_path: Path) -> None:
    for name in FILES:
        (small / name).rename(small / f"{name}.gz")
    message = run("download", "mnist", "--mirror", small.as_uri(), code=1).stderr
    assert "checksum" in message
    assert not (tmp_path / "data").exists()


def test_a_catalogue_of_datasets(run: Run) -> None:
    message = refusal(run("download", "imagenet", code=64))
    for name in ["mnist", "fashion-mnist", "kmnist", "emnist-digits"]:
        assert name in message


IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def damaged(small: Path, kind: str) -> str:
    """Damages the dataset; returns a word that the error must have."""
    images, labels = small / IMAGES, small / LABELS
    bits = images.read_bytes()
    if kind == "missing":
        labels.unlink()
    elif kind == "text":
        images.write_text("this is no IDX file")
    elif kind == "header":
        images.write_bytes(bits[:7])
    elif kind == "body":
        images.write_bytes(bits[:-1])
    elif kind == "surplus":
        images.write_bytes(bits + b"x")
    elif kind == "counts":
        labels.write_bytes(idx(np.zeros(59, np.uint8)))
        return "59"
    elif kind == "label":
        labels.write_bytes(idx(np.full(60, 10, np.uint8)))
        return "10"
    elif kind == "empty":
        images.write_bytes(idx(np.zeros((0, 4, 4), np.uint8)))
    elif kind == "huge":
        images.write_bytes(struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3))
    elif kind == "floats":
        images.write_bytes(b"\0\0\x0d\3" + bits[4:])
    elif kind == "gzip cut off":
        images.write_bytes(gzip.compress(bits)[:-20])
    elif kind == "gzip checksum":
        packed = bytearray(gzip.compress(bits))
        packed[-8] ^= 1
        images.write_bytes(packed)
    elif kind == "directory":
        images.unlink()
        images.mkdir()
    return IMAGES if kind != "missing" else LABELS


@pytest.mark.parametrize(
    "kind",
    ["missing", "text", "header", "body", "surplus", "counts", "label", "empty", "huge", "floats",
     "gzip cut off", "gzip checksum", "directory"],
)  # fmt: skip
def test_damaged_data(run: Run, small: Path, tmp_path: Path, kind: str) -> None:
    word = damaged(small, kind)
    assert word in refusal(train(run, small, 1))
    assert not (tmp_path / "mnist.pth").exists()


def test_images_of_another_size_than_the_network(run: Run, small: Path, digits_model: Path) -> None:
    message = refusal(run("test", "--model", digits_model, "--data", small, code=1))
    assert "16" in message and "64" in message


@pytest.mark.skipif(not FASHION.exists(), reason="Debian's dataset-fashion-mnist is not here")
def test_fashion_mnist(run: Run) -> None:
    arguments = ("--data", FASHION, "--dataset", "fashion-mnist")
    assert run("train", *arguments, "--epochs", 1).stdout.endswith("Finished\n")
    assert "10000 test images" in run("test", *arguments).stdout
