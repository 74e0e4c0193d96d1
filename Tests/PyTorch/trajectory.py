#!/usr/bin/env python3
"""Trains the article's network on MNIST with whatever PyTorch runs this, and keeps the weights on the way.

Started by distances.py with the Python of each version; needs PyTorch and NumPy only. The loop works on
tensors in memory, and draws and computes what the article's script does.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn

EPOCHS = (1, 2, 5, 25)


def images_and_labels(directory: pathlib.Path, part: str) -> tuple:
    pixels = np.fromfile(str(directory / f"{part}-images-idx3-ubyte"), np.uint8)[16:].reshape(-1, 784)
    labels = np.fromfile(str(directory / f"{part}-labels-idx1-ubyte"), np.uint8)[8:]
    return torch.from_numpy(pixels).float().div(255), torch.from_numpy(labels).long()


def main() -> None:
    directory, seed, threads, last, output = sys.argv[1:]
    torch.set_num_threads(int(threads))
    x, y = images_and_labels(pathlib.Path(directory), "train")
    test_x, test_y = images_and_labels(pathlib.Path(directory), "t10k")
    torch.manual_seed(int(seed))
    model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    kept = {}
    for epoch in range(1, int(last) + 1):
        # What a DataLoader with shuffle=True draws: a number it doesn't use, then the order's seed.
        torch.empty((), dtype=torch.int64).random_()
        number = int(torch.empty((), dtype=torch.int64).random_().item())
        for rows in torch.randperm(len(x), generator=torch.Generator().manual_seed(number)).split(100):
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()
        if epoch in EPOCHS:
            weights = [parameter.detach().numpy().ravel().copy() for parameter in model.parameters()]
            kept[f"weights{epoch}"] = np.concatenate(weights)
            with torch.no_grad():
                kept[f"correct{epoch}"] = int((model(test_x).argmax(1) == test_y).sum())
    np.savez(output, **kept)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "kernels": torch.backends.mkl.is_available() and "MKL" or "BLAS",
            }
        )
    )


if __name__ == "__main__":
    main()
