#!/usr/bin/env python3
"""Records what real PyTorch draws and computes, as hashes, into training.json beside this file.

Run with PyTorch 2.1.2 on an AMD processor with AVX2 and FMA, one thread, AVX2 kernels:

    OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 python record_training.py MNIST_DIRECTORY

where MNIST_DIRECTORY holds the four raw IDX files. The digits come from Sources/CDigits.
"""
import gzip
import hashlib
import json
import os
import pathlib
import re
import struct
import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def idx(data):
    rank = data[3]
    sizes = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def mnist(directory):
    read = lambda name: idx((pathlib.Path(directory) / name).read_bytes())
    return read("train-images-idx3-ubyte"), read("train-labels-idx1-ubyte")


def digits():
    """The arrays of digits.c, which are gzip-compressed IDX files."""
    text = (ROOT / "Sources/CDigits/digits.c").read_text()
    arrays = {}
    for name, body in re.findall(r"const unsigned char (\w+)\[\] = \{(.*?)\};", text, re.S):
        arrays[name] = idx(gzip.decompress(bytes(int(v) for v in re.findall(r"\d+", body))))
    return arrays["train_images"], arrays["train_labels"]


class Network(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x):
        return self.layers(self.flatten(x))


class Indices(torch.utils.data.Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


def weights(model):
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()]).astype("<f4")


def record_draws():
    result = {"initial": [], "order": [], "state": []}
    torch.manual_seed(3)
    for draws in [0, 5, 619, 1, 700]:
        torch.rand(draws)
        state = torch.get_rng_state().numpy()
        result["state"].append({"draws": draws, "sha256": sha(state), "bytes": len(state)})
    seeds = [0, 1, 42, 2**32 - 1, 2**32, 2**40 + 7, 2**63, 2**64 - 1]
    sizes = [(784, 100, 10), (7, 3, 2), (64, 32, 10), (13, 17, 5), (1, 1, 1), (1000, 37, 100)]
    for seed in seeds:
        for size in sizes:
            torch.manual_seed(seed)
            model = nn.Sequential(nn.Linear(size[0], size[1]), nn.ReLU(), nn.Linear(size[1], size[2]))
            result["initial"].append({"seed": str(seed), "size": size, "sha256": sha(weights(model))})
    for seed, count in [(0, 1), (0, 2), (1, 100), (42, 1797), (42, 60000), (7, 10_000_000)]:
        torch.manual_seed(seed)
        Network(784, 100, 10)
        epochs = []
        for _ in range(25 if count < 100_000 else 2):
            if count < 100_000:
                loader = DataLoader(Indices(count), batch_size=1000, shuffle=True)
                order = torch.cat(list(loader)).numpy()
            else:  # what the loader draws, without going through ten million items one by one
                torch.empty((), dtype=torch.int64).random_()
                seed_of_epoch = int(torch.empty((), dtype=torch.int64).random_().item())
                generator = torch.Generator().manual_seed(seed_of_epoch)
                order = torch.randperm(count, generator=generator).numpy()
            epochs.append(sha(order.astype("<u4")))
        result["order"].append({"seed": seed, "count": count, "sha256": epochs})
    return result


def train(images, labels, seed, hidden, batch, epochs, drop_last=False, shuffle=True, **options):
    x = torch.from_numpy(images.reshape(len(images), -1).copy()).float().div(255)
    y = torch.from_numpy(labels.astype(np.int64))
    torch.manual_seed(seed)
    model = Network(x.shape[1], hidden, 10)
    loader = DataLoader(Indices(len(x)), batch_size=batch, shuffle=shuffle, drop_last=drop_last)
    optimizer = torch.optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})
    criterion = nn.CrossEntropyLoss()
    run = {"first_losses": [], "losses_sha256": [], "weights_sha256": {}}
    for epoch in range(1, epochs + 1):
        losses = []
        for index in loader:
            optimizer.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        run["first_losses"].append(f"{losses[0]:.5f}")
        run["losses_sha256"].append(sha(np.array(losses, "<f4")))
        if epoch in (1, 2, 5, 25):
            run["weights_sha256"][str(epoch)] = sha(weights(model))
    with torch.no_grad():
        run["correct"] = int((model(x).argmax(1) == y).sum())
    return run


def main():
    torch.set_num_threads(1)
    assert torch.backends.cpu.get_cpu_capability() == "AVX2", "set ATEN_CPU_CAPABILITY=avx2"
    runs = []

    def record(dataset, data, **arguments):
        runs.append({"dataset": dataset, **arguments, **train(*data, **arguments)})
        print(dataset, arguments, runs[-1]["first_losses"][:3])

    for arguments in [
        dict(seed=0, hidden=100, batch=100, epochs=25),
        dict(seed=42, hidden=37, batch=64, epochs=25),
        dict(seed=7, hidden=10, batch=10, epochs=5),
        dict(seed=3, hidden=64, batch=7, epochs=2),
        dict(seed=5, hidden=50, batch=1, epochs=1),
        dict(seed=6, hidden=200, batch=1000, epochs=25),
        dict(seed=8, hidden=100, batch=100, epochs=5, drop_last=True),
        dict(seed=9, hidden=100, batch=100, epochs=5, shuffle=False),
        dict(seed=1, hidden=100, batch=100, epochs=5, momentum=0.0),
        dict(seed=2, hidden=100, batch=100, epochs=5, dampening=0.1, weight_decay=1e-4),
        dict(seed=4, hidden=100, batch=100, epochs=5, nesterov=True, weight_decay=1e-3),
        dict(seed=4, hidden=100, batch=100, epochs=2, lr=1e-4, maximize=True),
    ]:
        record("digits", digits(), **arguments)
    for arguments in [
        dict(seed=0, hidden=100, batch=100, epochs=25),
        dict(seed=1, hidden=100, batch=100, epochs=2),
        dict(seed=42, hidden=128, batch=128, epochs=2),
        dict(seed=2024, hidden=37, batch=7, epochs=1),
    ]:
        record("mnist", mnist(sys.argv[1]), **arguments)
    result = {
        "torch": torch.__version__,
        "note": "float32 values as little-endian bytes: layers.0.weight, .bias, layers.2.weight, .bias",
        "draws": record_draws(),
        "runs": runs,
    }
    (HERE / "training.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
