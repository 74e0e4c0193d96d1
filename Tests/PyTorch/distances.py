#!/usr/bin/env python3
"""Measures how far the runs of several PyTorch versions and numbers of threads are from the library's:
weights and correct test images after 1, 2, 5 and 25 epochs of the article's training on MNIST.

    python distances.py MNIST_DIRECTORY PYTHON... [--seeds 0 42] [--threads 1 2] [--epochs 25]

Each PYTHON is the interpreter of an environment with some PyTorch. Prints a table in Markdown, the one in
README.md.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so.0"))
sys.path.insert(0, str(ROOT / "bindings/python/src"))

from twolayernet import Dataset, Network, Trainer  # noqa: E402
from twolayernet.compare import data  # noqa: E402

EPOCHS = (1, 2, 5, 25)


def ours(directory: pathlib.Path, seed: int, last: int) -> dict[str, np.ndarray]:
    """The library's run."""
    train, test = Dataset.open_mnist(directory), Dataset.open_mnist(directory, train=False)
    network = Network(784, 100, 10, seed=seed, device="cpu")
    trainer = Trainer(network)
    kept = {}
    for epoch in range(1, last + 1):
        trainer.fit(train, 1)
        if epoch in EPOCHS:
            values = [network.parameter(name).ravel() for name in Network.PARAMETERS]
            kept[f"weights{epoch}"] = np.concatenate(values)
            kept[f"correct{epoch}"] = np.array(network.evaluate(test).correct)
    return kept


def theirs(python: str, directory: pathlib.Path, seed: int, threads: int, last: int, file: str) -> tuple:
    """The run of a PyTorch, and what it is."""
    command = [
        python,
        str(HERE / "trajectory.py"),
        str(directory),
        str(seed),
        str(threads),
        str(last),
        file,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "ATEN_CPU_CAPABILITY": "avx2"}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    about = json.loads(result.stdout)
    return dict(np.load(file)), f"{about['torch'].split('+')[0]}, {about['kernels']}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", type=pathlib.Path)
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 42])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=25)
    arguments = parser.parse_args()
    epochs = [epoch for epoch in EPOCHS if epoch <= arguments.epochs]
    print("| PyTorch | threads | seed | " + " | ".join(f"epoch {epoch}" for epoch in epochs) + " |")
    print("| --- | --: | --: |" + " --: |" * len(epochs), flush=True)
    with tempfile.TemporaryDirectory() as place:
        raw = pathlib.Path(place) / "data"
        data.unpack(arguments.mnist, raw)
        raw /= "MNIST/raw"
        for seed in arguments.seeds:
            own = ours(raw, seed, arguments.epochs)
            counts = " | ".join(f"{int(own[f'correct{epoch}'])}" for epoch in epochs)
            print(f"| this library | any | {seed} | {counts} |", flush=True)
            for python in arguments.pythons:
                for threads in arguments.threads:
                    run, name = theirs(python, raw, seed, threads, arguments.epochs, f"{place}/run.npz")
                    cells = [cell(own, run, epoch) for epoch in epochs]
                    print(f"| {name} | {threads} | {seed} | {' | '.join(cells)} |", flush=True)


def cell(own: dict[str, np.ndarray], run: dict[str, np.ndarray], epoch: int) -> str:
    """The largest difference of two weights, and of how many more test images theirs is right."""
    a, b = own[f"weights{epoch}"], run[f"weights{epoch}"]
    more = int(run[f"correct{epoch}"]) - int(own[f"correct{epoch}"])
    if np.array_equal(a.view(np.uint32), b.view(np.uint32)):
        return "equal"
    return f"{np.abs(a - b).max():.1e}, {more:+d}"


if __name__ == "__main__":
    main()
