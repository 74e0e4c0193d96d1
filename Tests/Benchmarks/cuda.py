#!/usr/bin/env python3
"""What has to be seen on an NVIDIA card: that it trains the same network as the cpu, and how fast.

    cuda.py [--mnist DIRECTORY] [--pytorch PYTHON] [--device cuda:1] [--quick] [--output FILE]

Without a card it says so, writes nothing and ends with status 1. PYTHON is one that has PyTorch for CUDA;
without it, its part of the report is left out. It needs NumPy and the library alone: `make cuda-bundle` packs
what a machine without Swift needs. The report is written after each part, so that an end that comes too early
leaves the parts before it.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bindings/python/src"), str(ROOT / "Tests/Devices")]
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so"))

import conformance  # noqa: E402
import numpy as np  # noqa: E402
import twolayernet  # noqa: E402

# Float32 multiply-adds that a multiprocessor begins in a cycle, by compute capability: the CUDA C++
# Programming Guide's table of arithmetic instructions.
LANES = {(6, 0): 64, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}
BEGIN = time.perf_counter()
# CUdevice_attribute
CLOCK, PROCESSORS, MEMORY_CLOCK, BUS_WIDTH, MAJOR, MINOR = 13, 16, 36, 37, 75, 76


@dataclasses.dataclass
class Card:
    """What the driver says of a card; rates at its highest clocks."""

    driver: str
    capability: tuple[int, int]
    flops: float
    bytes: float

    @classmethod
    def of(cls, index: int) -> Card:
        cuda = ctypes.CDLL("libcuda.so.1")
        cuda.cuInit(0)
        version = ctypes.c_int()
        cuda.cuDriverGetVersion(ctypes.byref(version))

        def get(attribute: int) -> int:
            value = ctypes.c_int()
            if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, index) != 0:
                sys.exit(f"the driver does not tell attribute {attribute}")
            return value.value

        capability = (get(MAJOR), get(MINOR))
        # A driver may keep a clock to itself, and say 0.
        unknown = float("nan")
        flops = 2 * LANES.get(capability, 128) * get(PROCESSORS) * get(CLOCK) * 1e3 or unknown
        # Two transfers a clock.
        memory = 2 * get(MEMORY_CLOCK) * 1e3 * get(BUS_WIDTH) / 8 or unknown
        return cls(f"{version.value // 1000}.{version.value % 1000 // 10}", capability, flops, memory)


@dataclasses.dataclass
class Work:
    """A network and a batch."""

    inputs: int
    hidden: int
    outputs: int
    batch: int

    @property
    def flops(self) -> int:
        """Of a step: two products with the first layer's size, three with the second's."""
        return 2 * self.batch * self.hidden * (2 * self.inputs + 3 * self.outputs)

    @property
    def bytes(self) -> int:
        """That a step cannot do without: parameters and momentum, read and written, and the images."""
        parameters = (self.inputs + 1) * self.hidden + (self.hidden + 1) * self.outputs
        return 16 * parameters + self.batch * self.inputs

    def floor(self, card: Card) -> float:
        """Seconds of a step that arithmetic and memory alone would take."""
        return max(self.flops / card.flops, self.bytes / card.bytes)


def find_mnist(named: pathlib.Path | None) -> pathlib.Path | None:
    if named is None and "TLN_MNIST" in os.environ:
        named = pathlib.Path(os.environ["TLN_MNIST"])
    for place in [named] if named else [ROOT / "data", ROOT / "../shared/mnist"]:
        if any(place.glob("train-images-idx3-ubyte*")):
            return place.resolve()
    if named:
        sys.exit(f"there are no files of MNIST in {named}")
    return None


def installed_driver() -> str:
    """The version of the driver's package, where a program tells it."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else ""


def say(what: str) -> None:
    """How far it has come, for whoever watches."""
    print(f"{time.perf_counter() - BEGIN:6.1f} s  {what}", file=sys.stderr, flush=True)


def images(directory: pathlib.Path | None, rows: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Images and labels, as bytes: MNIST's, or made up where that is not."""
    if directory:
        data = twolayernet.Dataset.open_mnist(directory)
        pixels = np.rint(data.features(0, min(rows, len(data))) * 255)
        name = "MNIST" if directory.name in ("data", "mnist") else directory.name
        return pixels.astype(np.uint8), data.labels(0, len(pixels)).astype(np.uint8), name
    noise = np.random.default_rng(0).integers(0, 256, (rows, 784), dtype=np.uint8)
    return noise, (noise[:, :10].argmax(1)).astype(np.uint8), "noise of MNIST's size"


def train(
    data: tuple[np.ndarray, np.ndarray], work: Work, epochs: int, device: str, told: bool = False, **options: float
) -> tuple[twolayernet.Network, float]:
    """A trained network, and the seconds that the training itself took; `told` of every step, as the command
    line is."""
    network = twolayernet.Network(work.inputs, work.hidden, work.outputs, seed=0, device=device)
    trainer = twolayernet.Trainer(network, batch_size=work.batch, **options)
    dataset = twolayernet.Dataset(*data)
    begin = time.perf_counter()
    trainer.fit(dataset, epochs, (lambda progress: None) if told else None)
    return network, time.perf_counter() - begin


def contents(network: twolayernet.Network, place: pathlib.Path) -> bytes:
    """Of its file mnist.pth."""
    network.save(place / "mnist.pth")
    return (place / "mnist.pth").read_bytes()


def torch_results(
    python: str | None, data: tuple[np.ndarray, np.ndarray], directory: pathlib.Path | None, place: pathlib.Path,
    index: int, extra: list[str],
) -> dict[str, float | str]:
    """What PyTorch reaches on the same card, from a process of its own; empty without it."""
    if not python:
        return {}
    np.savez(place / "data.npz", x=data[0], y=data[1])
    command = [python, HERE / "cuda_torch.py", place / "data.npz", *extra]
    command += ["--mnist", directory] if directory else []
    # The card becomes the only one that PyTorch sees, also in the processes of the article's script.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    card = visible.split(",")[index] if visible else str(index)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings/python/src"), "CUDA_VISIBLE_DEVICES": card}
    # What it says goes to standard error as it comes; a line for each result that it has.
    results: dict[str, float | str] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        for line in process.stdout:
            results |= json.loads(line)
    if process.returncode != 0:
        say(f"PyTorch ended with status {process.returncode}")
    return results


def verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def report(
    info: twolayernet.DeviceInfo, card: Card, source: str, conforms: str, created: list[float],
    runs: dict[str, list[float]], same: bool, epochs: int, steps: dict[str, int], works: dict[str, Work], torch: dict[str, float | str],
) -> str:  # fmt: skip
    """The text of CUDA.md."""
    lines = [
        "# The CUDA engine on a card",
        "",
        "Written by `make test-cuda`.",
        "",
        "| | |",
        "| --- | --- |",
        f"| card | {info.name}, compute capability {card.capability[0]}.{card.capability[1]} |",
        f"| driver | for CUDA {card.driver}{f', {version}' if (version := installed_driver()) else ''} |",
        f"| date | {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d} |",
        f"| data | {source} |",
        f"| comparisons with the cpu (`Tests/Devices/conformance.py`) | {conforms} |",
        f"| a network, its kernels compiled by the driver; one more | {created[0]:.2f} s; {created[1]:.2f} s |",
        f"| `mnist.pth` after {epochs} epochs, cpu and cuda | {'the same bytes' if same else '**different**'} |",
        "",
        "The floor is what arithmetic at the card's highest clock, or its memory, would take alone: the larger.",
        "",
        "| network, batch | seconds (median) | steps | microseconds a step | floor | TFLOP/s | of the peak |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, work in works.items():
        seconds = statistics.median(runs[name])
        step = seconds / steps[name]
        rate = work.flops / step
        lines.append(
            f"| {name} | {seconds:.3f} | {steps[name]} | {step * 1e6:.1f} | {work.floor(card) * 1e6:.1f} "
            f"| {rate * 1e-12:.2f} | {100 * rate / card.flops:.0f} % |"
        )
    ours = statistics.median(runs["article"])
    goals = [(f"{epochs} epochs of the article in less than 0.5 s", f"{ours:.3f} s", ours < 0.5)]
    told = statistics.median(runs["article, told of every step"])
    goals.append(("the same, told of every step (by a callback in Python)", f"{told:.3f} s", told < 0.5))
    if tuned := {name[6:]: float(value) * epochs for name, value in torch.items() if name.startswith("tuned ")}:
        best = min(tuned, key=lambda name: tuned[name])
        goals.append((f"5 times faster than the tuned loop in PyTorch ({best})", f"{tuned[best] / ours:.1f} times", tuned[best] >= 5 * ours))
    if "article_epoch" in torch:
        script = float(torch["article_epoch"]) * epochs
        goals.append(("50 times faster than the article's script", f"{script / ours:.0f} times", script >= 50 * ours))
    if "products" in torch:
        products = float(torch["products"])
        large = statistics.median(runs["large"]) / steps["large"]
        share = 100 * products / large
        goals.append(("60 % of cuBLAS's float32 products, 784-4096-10, 8192 rows", f"{share:.0f} %", share >= 60))
    lines += ["", "| goal | measured | |", "| --- | --- | --- |"]
    lines += [f"| {what} | {measured} | {verdict(met)} |" for what, measured, met in goals]
    every = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in tuned.items())
    lines += ["", f"PyTorch {torch['version']}, with the data on the card and an epoch as one CUDA graph: {every}."
              if "version" in torch else "There are no results of PyTorch for CUDA (`BENCH_PYTORCH=python`)."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=pathlib.Path)
    parser.add_argument("--pytorch", help="a Python that has PyTorch for CUDA")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="little work, to try this script")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "CUDA.md")
    parser.add_argument("--pytorch-on", default="cuda", help="cpu to try this script without a card")
    parser.add_argument("--only-look", action="store_true", help="say whether there is a card, and end")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as cache:
        # Where the driver keeps what it has compiled: from nothing, and surely.
        os.environ["CUDA_CACHE_PATH"] = cache
        info = twolayernet.describe_device("cuda")
        if not info.available:
            print(f"There is no card to test: {info.reason}. Nothing is written.", file=sys.stderr)
            return 1
        return 0 if arguments.only_look else measure(arguments, info)


def creations(device: str) -> list[float]:
    """Seconds that a network takes: the first, for which the driver compiles the kernels, and one more."""
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        twolayernet.Network(784, 100, 10, device=device)
        seconds.append(time.perf_counter() - begin)
    return seconds


def measure(arguments: argparse.Namespace, info: twolayernet.DeviceInfo) -> int:
    say(f"{info.name}: the first networks")
    created = creations(arguments.device)
    # The driver keeps its context.
    keeper = twolayernet.Network(1, 1, 1, device=arguments.device)
    say("comparisons with the cpu")
    count, different = conformance.check(arguments.device, arguments.quick)
    for what in different:
        say(f"differs: {what}")
    conforms = f"all {count} the same bits" if not different else f"**{len(different)} of {count} differ**"
    index = int(arguments.device.partition(":")[2] or 0)
    card = Card.of(index)
    epochs, rounds = (2, 1) if arguments.quick else (25, 5)
    directory = find_mnist(arguments.mnist)
    features, labels, source = images(directory, 300 if arguments.quick else 60_000)
    data = (features, labels)
    article = Work(784, 100, 10, 100)
    large = Work(784, 64, 10, 128) if arguments.quick else Work(784, 4096, 10, 8192)
    large_rows = (features[: 2 * large.batch], labels[: 2 * large.batch])
    large_epochs = 1 if arguments.quick else 50
    works = {"article": article, "large": large}
    steps = {
        "article": epochs * -(-len(features) // article.batch),
        "large": large_epochs * -(-len(large_rows[0]) // large.batch),
    }
    works["article, told of every step"], steps["article, told of every step"] = article, steps["article"]
    runs: dict[str, list[float]] = {name: [] for name in works}
    same = True

    def write(torch: dict[str, float | str]) -> str:
        text = report(info, card, source, conforms, created, runs, same, epochs, steps, works, torch)
        arguments.output.write_text(text)
        return text

    with tempfile.TemporaryDirectory() as name, keeper:
        place = pathlib.Path(name)
        say(f"{epochs} epochs on the cpu")
        expected = contents(train(data, article, epochs, "cpu")[0], place)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for told in (False, True):
                network, seconds = train(data, article, epochs, arguments.device, told)
                same = same and contents(network, place) == expected
                runs["article, told of every step" if told else "article"].append(seconds)
            runs["large"].append(train(large_rows, large, large_epochs, arguments.device, learning_rate=0.01)[1])
        write({})
        say("PyTorch" if arguments.pytorch else "no PyTorch was named")
        extra = ["--device", arguments.pytorch_on, *(["--quick"] if arguments.quick else [])]
        torch = torch_results(arguments.pytorch, data, directory, place, index, extra)
    print(write(torch))
    return 0 if same and not different else 1


if __name__ == "__main__":
    sys.exit(main())
