"""The library's side: the same training and test through the Python binding."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from .. import Dataset, Network, Progress, Trainer, __version__
from .run import Run, printed_lines, sha256


def run(directory: pathlib.Path, seed: int, epochs: int, output: pathlib.Path, threads: int = 0) -> Run:
    """Trains and tests on the data in `directory`, on the cpu; mnist.pth goes to `output`."""
    output.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []

    def note(progress: Progress) -> None:
        losses.append(progress.loss)

    training_data = Dataset.open_mnist(directory)
    network = Network(784, 100, 10, seed=seed, device="cpu", threads=threads)
    trainer = Trainer(network)
    begin = time.perf_counter()
    trainer.fit(training_data, epochs, note)
    seconds = time.perf_counter() - begin
    network.save(output / "mnist.pth")

    test_data = Dataset.open_mnist(directory, train=False)
    result = Network.load(output / "mnist.pth", device="cpu", threads=threads).evaluate(test_data)
    steps = len(losses) // epochs
    values = np.array(losses, np.float32)
    lines = [
        *printed_lines(values, steps),
        network.device,
        f"Accuracy of the network on the {result.rows} test images: {100 * result.accuracy:.2f} %",
    ]
    (output / "output.txt").write_text("".join(f"{line}\n" for line in lines))
    hashes, means = Run.summarize(values, steps)
    limit = {0: "", 1: ", 1 thread"}.get(threads, f", {threads} threads")
    return Run(
        name=f"twolayernet {__version__}{limit}",
        lines=lines,
        losses=values,
        steps_per_epoch=steps,
        losses_sha256=hashes,
        mean_losses=means,
        file_sha256=sha256((output / "mnist.pth").read_bytes()),
        seconds_per_epoch=seconds / epochs,
        file=output / "mnist.pth",
    )
