#!/usr/bin/env python3
"""Records what the article's scripts print and leave behind in real PyTorch, for comparisons without it:
bindings/python/src/twolayernet/compare/recorded.json.

Run with PyTorch 2.1.2 and torchvision 0.16.2 on an AMD processor with AVX2 and FMA:

    OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 python record_comparison.py MNIST_DIRECTORY

The first epoch is the article's script itself, which is timed; it takes ten times as long as the same
steps on tensors that are in memory, by which the other epochs are recorded. Both must agree.
"""

import base64
import json
import os
import pathlib
import re
import sys
import tempfile
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so.0"))
sys.path[:0] = [str(ROOT / "bindings/python/src"), str(ROOT / "Tests")]

from conftest_data import enlarge, unpack_digits  # noqa: E402
from record_training import Indices, Network  # noqa: E402
from twolayernet.compare import data, pytorch, recorded  # noqa: E402
from twolayernet.compare.run import Run, sha256  # noqa: E402

SEEDS = {"MNIST": [0, 42], "the embedded digits, enlarged": [0]}
EPOCHS = {"MNIST": 25, "the embedded digits, enlarged": 3}


def machine() -> str:
    """The processor's name."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    return re.search(r"model name\s*: (.*)", text).group(1)


def correct_images(weights: pathlib.Path, directory: pathlib.Path) -> tuple[int, int]:
    """How many of the test images a network knows, of how many."""
    images, labels = (data.contents(path) for path in data.find(directory)[2:])
    x = (
        torch.from_numpy(np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).copy())
        .float()
        .div(255)
    )
    y = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).copy())
    state = torch.load(str(weights))
    with torch.no_grad():
        hidden = torch.relu(x @ state["layers.0.weight"].T + state["layers.0.bias"])
        logits = hidden @ state["layers.2.weight"].T + state["layers.2.bias"]
    return int((logits.argmax(1) == y).sum()), len(y)


def epochs_of(
    directory: pathlib.Path, seed: int, count: int, place: pathlib.Path
) -> list[dict[str, Any]]:
    """What is recorded of each epoch."""
    images, labels = (data.contents(path) for path in data.find(directory)[:2])
    x = (
        torch.from_numpy(np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).copy())
        .float()
        .div(255)
    )
    y = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))
    torch.manual_seed(seed)
    model = Network(784, 100, 10)
    loader = DataLoader(Indices(len(x)), batch_size=100, shuffle=True)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    epochs = []
    for _ in range(count):
        losses = []
        for rows in loader:
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        torch.save(model.state_dict(), str(place / "mnist.pth"))
        hashes, means = Run.summarize(np.array(losses, np.float32), len(losses))
        epochs.append(
            {
                "printed": f"{losses[0]:.5f}",
                "losses_sha256": hashes[0],
                "mean_loss": means[0],
                "correct": correct_images(place / "mnist.pth", directory)[0],
                "file_sha256": sha256((place / "mnist.pth").read_bytes()),
            }
        )
    return epochs


def record(name: str, directory: pathlib.Path, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        script = pytorch.run(directory, seed, 1, pathlib.Path(place) / "script")
        count = correct_images(pathlib.Path(place) / "script/mnist.pth", directory)[1]
        epochs = epochs_of(directory, seed, EPOCHS[name], pathlib.Path(place))
    assert epochs[0]["losses_sha256"] == script.losses_sha256[0]
    assert epochs[0]["file_sha256"] == script.file_sha256
    assert script.lines[0] == f"epoch=1, loss={epochs[0]['printed']}"
    assert f"{100 * epochs[0]['correct'] / count:.2f} %" in script.lines[-1]
    return {
        "data": name,
        "data_sha256": data.identity(directory),
        "seed": seed,
        "torch": torch.__version__,
        "machine": machine(),
        "seconds_per_epoch": script.seconds_per_epoch,
        "test_images": count,
        "first_epoch_losses": base64.b64encode(script.losses.astype("<f4").tobytes()).decode(),
        "epochs": epochs,
    }


def main() -> None:
    torch.set_num_threads(1)
    assert torch.backends.cpu.get_cpu_capability() == "AVX2", "set ATEN_CPU_CAPABILITY=avx2"
    with tempfile.TemporaryDirectory() as place:
        digits, large = pathlib.Path(place) / "digits", pathlib.Path(place) / "large"
        digits.mkdir()
        large.mkdir()
        enlarged = enlarge(unpack_digits(digits), large)
        places = {"MNIST": pathlib.Path(sys.argv[1]), "the embedded digits, enlarged": enlarged}
        recordings = [record(name, places[name], seed) for name in SEEDS for seed in SEEDS[name]]
    note = (
        "float32 losses as base64 of little-endian bytes, or their SHA-256; made by record_comparison.py"
    )
    recorded.FILE.write_text(json.dumps({"note": note, "recordings": recordings}, indent=1) + "\n")


if __name__ == "__main__":
    main()
