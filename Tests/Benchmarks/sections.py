"""What is measured: each function here is one section of the report, and returns what report.json holds of
it. Times are seconds; every list has one number a round."""

from __future__ import annotations

import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Iterator

from datasets import Datasets
from measuring import (
    ROOT,
    Peer,
    Unavailable,
    alternate,
    output_of,
    peak_memory,
    time_to_first_line,
)

COMMAND = str(ROOT / ".build/release/twolayernet")
LIBRARY = ROOT / "dist/libtwolayernet.so"
OURS = "twolayernet"
# For rows that mean nothing, so that no size of the network leaves the finite numbers.
SLOW = {"learning_rate": 1e-6}


def flops_of_step(inputs: int, hidden: int, outputs: int, batch: int) -> int:
    """Multiplications and additions of a dense step's products: two of the first layer's size (it needs no
    gradient of its input), three of the second's."""
    return 2 * batch * hidden * (2 * inputs + 3 * outputs)


class Bench:
    """The peers, the data and how long to measure."""

    def __init__(
        self, datasets: Datasets, programs: dict[str, str], pytorch: str, quick: bool, threads: int
    ) -> None:
        self.datasets, self.programs, self.quick = datasets, programs, quick
        self.rounds = 3 if quick else 7
        self.least = 0.05 if quick else 0.2
        # With more processors than two the goals still speak of two threads.
        self.threads = threads
        self.peers: dict[str, Peer] = {}
        self.missing: dict[str, str] = {}
        for key, python, program, threads_of_peer in [
            (our_name(1), sys.executable, "library_peer.py", 1),
            (our_name(threads), sys.executable, "library_peer.py", threads),
            ("NumPy, 1 thread", sys.executable, "numpy_peer.py", 1),
            (f"NumPy, {threads} threads", sys.executable, "numpy_peer.py", threads),
            ("PyTorch, 1 thread", pytorch, "torch_peer.py", 1),
            (f"PyTorch, {threads} threads", pytorch, "torch_peer.py", threads),
            ("JAX", sys.executable, "jax_peer.py", threads),
            ("scikit-learn", sys.executable, "sklearn_peer.py", threads),
            ("the article's script", pytorch, "article_peer.py", 1),
        ]:
            try:
                directory = [str(datasets.directory)] if program == "article_peer.py" else []
                self.peers[key] = Peer(python, program, threads_of_peer, *directory)
            except Unavailable as error:
                self.missing[key] = str(error)

    def close(self) -> None:
        for peer in self.peers.values():
            peer.close()

    @property
    def versions(self) -> dict[str, str]:
        return {peer.name: peer.version for peer in self.peers.values()}

    def peak(self) -> float:
        """GFLOP/s of one core's fused multiply-adds, now."""
        return float(output_of([self.programs["fma_peak"]]))

    def contestants(self, *wanted: str) -> dict[str, Peer]:
        """The peers that are here and whose names begin so."""
        return {key: peer for key, peer in self.peers.items() if key.startswith(wanted)}

    def turns(self, task: str, workload: dict[str, Any], *wanted: str) -> dict[str, Callable[[], float]]:
        """A turn for this library and for some peers with each number of threads, all prepared and warm."""
        turns = {}
        for key, peer in self.contestants(OURS, *wanted).items():
            peer.ask("prepare", **workload)
            peer.ask(task, least=0.0)
            turns[key] = lambda peer=peer: peer.ask(task, least=self.least)
        return turns


def our_name(threads: int) -> str:
    return f"{OURS}, {threads} thread{'s' if threads > 1 else ''}"


def article(
    data: dict[str, str], rows: int = 60_000, hidden: int = 100, batch: int = 100
) -> dict[str, Any]:
    """A workload with the article's sizes and settings, unless told otherwise."""
    sizes = {"hidden": hidden, "outputs": 10, "batch": batch, "steps": rows // batch}
    return {**data, **sizes, "learning_rate": 0.1}


# ------------------------------------------------------------------------------------- training


def epoch(bench: Bench) -> dict[str, Any]:
    """One epoch of MNIST with the article's settings."""
    workload = article(bench.datasets.mnist(train=True))
    turns: dict[str, Callable[[], float]] = {"FMA peak": bench.peak}
    turns |= bench.turns("epoch", workload, "NumPy", "PyTorch", "JAX", "scikit-learn")
    if "the article's script" in bench.peers:
        turns["the article's script"] = lambda: bench.peers["the article's script"].ask("epoch")
    slow = 1 if bench.quick else 3
    times = alternate(turns, bench.rounds, {"scikit-learn": slow, "the article's script": slow})
    return {"flops": 600 * flops_of_step(784, 100, 10, 100), "times": times}


def beside_a_busy_program(bench: Bench) -> dict[str, Any]:
    """The same while another program keeps one core busy."""
    workload = article(bench.datasets.mnist(train=True))
    turns = bench.turns("epoch", workload)
    with busy():
        return {"times": alternate(turns, bench.rounds)}


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keeps one core busy meanwhile."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        time.sleep(0.2)
        try:
            yield
        finally:
            process.kill()


def fashion(bench: Bench) -> dict[str, Any]:
    """One epoch of images half of whose pixels are not zero."""
    workload = article(bench.datasets.fashion())
    return {"times": alternate(bench.turns("epoch", workload, "NumPy", "PyTorch"), bench.rounds)}


def dense(bench: Bench) -> dict[str, Any]:
    """Steps of 784-1024-10 on batches of 256 Gaussian rows."""
    steps = 20
    workload = article(bench.datasets.gaussian(256 * steps, 784), 256 * steps, 1024, 256) | SLOW
    turns: dict[str, Callable[[], float]] = {"FMA peak": bench.peak}
    turns |= bench.turns("epoch", workload, "NumPy", "PyTorch")
    times = alternate(turns, bench.rounds)
    return {"flops": steps * flops_of_step(784, 1024, 10, 256), "steps": steps, "times": times}


# --------------------------------------------------------------------------------------- growth

BASE = {"input": 784, "hidden": 100, "batch": 100, "rows": None, "density": 1.0}
AXES: dict[str, list[Any]] = {
    "hidden": [10, 100, 1000, 4096],
    "batch": [1, 10, 100, 1000, 10_000],
    "rows": [1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    "input": [64, 256, 784, 1024, 4096, 16_384],
    "density": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
}
QUICK_AXES = {
    "hidden": [10, 1000],
    "batch": [1, 1000],
    "rows": [1_000, 100_000],
    "input": [64, 4096],
    "density": [0.01, 0.2],
}


def growth(bench: Bench) -> dict[str, Any]:
    """Gaussian data; one size grows, the others stay at 784-100-10, batches of 100, no zeros."""
    points = []
    for axis, values in (QUICK_AXES if bench.quick else AXES).items():
        for value in values:
            points.append({"axis": axis, "value": value, **growth_point(bench, {**BASE, axis: value})})
            print(f"  {axis} = {value}", flush=True)
    return {"points": points}


def growth_point(bench: Bench, sizes: dict[str, Any]) -> dict[str, Any]:
    """Times of a pass of ours and of peers, and what a pass of each has to do."""
    inputs, hidden, batch = sizes["input"], sizes["hidden"], sizes["batch"]
    if sizes["rows"]:
        # Rows of 64 numbers, so that ten million fit the memory.
        inputs = 64
        rows = sizes["rows"]
    else:
        # About 4 GFLOP, but not more than 2,000 steps, nor fewer than two.
        steps = int(4e9 / flops_of_step(inputs, hidden, 10, batch))
        rows = batch * min(max(steps, 2), 2000)
    data = bench.datasets.gaussian(rows, inputs, sizes["density"])
    ours_steps = rows // batch
    # Ours go through all rows; peers do as many steps as tell their speed.
    peers_steps = min(ours_steps, 2000)
    workload = article(data, rows, hidden, batch) | SLOW
    rounds = bench.rounds if rows <= 1_000_000 else 3
    turns = bench.turns("epoch", {**workload, "steps": peers_steps}, "NumPy", "PyTorch")
    times = alternate(turns, rounds)
    bench.datasets.forget(data)
    per_step = flops_of_step(inputs, hidden, 10, batch)
    flops = {name: per_step * (ours_steps if name.startswith(OURS) else peers_steps) for name in times}
    return {"inputs": inputs, "rows": rows, "flops": flops, "times": times}


# ------------------------------------------------------------------------- running the network


def evaluation(bench: Bench) -> dict[str, Any]:
    """10,000 test images. NumPy and PyTorch count the correct ones; the library also sums the losses."""
    workload = article(bench.datasets.mnist(train=False), 10_000)
    return {"times": alternate(bench.turns("evaluate", workload, "NumPy", "PyTorch"), bench.rounds)}


def prediction(bench: Bench) -> dict[str, Any]:
    """One image through the C interface, from a C program; one row in NumPy."""
    count = 2000
    numpy = bench.peers["NumPy, 1 thread"]
    numpy.ask("prepare", **article(bench.datasets.mnist(train=False), 10_000))
    allocations: dict[str, list[int]] = {"sparse": [], "dense": []}
    times: dict[str, list[float]] = {"NumPy": [], "sparse": [], "dense": []}
    for _ in range(bench.rounds):
        times["NumPy"].append(numpy.ask("predict", count=count, least=0.0) / count)
        for line in output_of(
            [bench.programs["one_prediction"], str(bench.datasets.directory)]
        ).splitlines():
            name, seconds, number = line.split()
            times[name].append(float(seconds))
            allocations[name].append(int(number))
    return {"times": times, "allocations": allocations}


# ------------------------------------------------------------------------ starting, files, memory


def start(bench: Bench) -> dict[str, Any]:
    """From a process's start to the first step on MNIST's .gz files, beside zlib inflating these."""
    directory = bench.datasets.directory
    files = [str(directory / f"train-{part}.gz") for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    with tempfile.TemporaryDirectory() as place:
        train = [COMMAND, "train", "--data", str(directory), "--output", f"{place}/mnist.pth", "--quiet"]
        turns = {
            "zlib inflates the files": lambda: time_to_first_line([bench.programs["inflate"], *files]),
            "C program": lambda: time_to_first_line([bench.programs["first_step"], str(directory)]),
            "twolayernet train": lambda: time_to_first_line(train),
        }
        return {"times": alternate(turns, bench.rounds)}


def memory_and_files(bench: Bench) -> dict[str, Any]:
    """Peak memory of train; size of the library, time to open it; times to save and to load."""
    times: dict[str, list[float]] = {"dlopen": []}
    with tempfile.TemporaryDirectory() as place:
        train = [COMMAND, "train", "--data", str(bench.datasets.directory), "--epochs", "1"]
        memory = peak_memory([*train, "--output", f"{place}/mnist.pth", "--quiet"])
        for _ in range(bench.rounds):
            times["dlopen"].append(float(output_of([bench.programs["load_library"], str(LIBRARY)])))
            for line in output_of([bench.programs["files"], place]).splitlines():
                name, seconds = line.split()
                times.setdefault(name, []).append(float(seconds))
    return {"peak_memory_of_train": memory, "library_bytes": os.stat(LIBRARY).st_size, "times": times}


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "epoch": epoch,
    "beside_a_busy_program": beside_a_busy_program,
    "fashion": fashion,
    "dense": dense,
    "evaluation": evaluation,
    "prediction": prediction,
    "start": start,
    "memory_and_files": memory_and_files,
    "growth": growth,
}


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """The median of each contestant."""
    return {name: statistics.median(values) for name, values in times.items() if values}
