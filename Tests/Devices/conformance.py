#!/usr/bin/env python3
"""Whether a device of this machine does what the cpu does, to the bit, as far as the C library can show it:

    conformance.py [--quick] [DEVICE]        such as cuda or cuda:1; the default is cuda

It needs Python, NumPy and the library (TWOLAYERNET_LIBRARY, else dist/libtwolayernet.so), and no Swift. Each
comparison is a run on the cpu and the same on the device; those that differ are named, and the status is 1.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import tempfile
from typing import Any, Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bindings/python/src"))
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so"))

import numpy as np  # noqa: E402
import twolayernet  # noqa: E402

# What a run shows: arrays, numbers and files, compared with each other.
Results = list[Any]
Run = Callable[[str, pathlib.Path], Results]

# Inputs, hidden units, outputs, batch: sums in one panel, two and more, products too small for panels, edges
# of tiles in both directions, and products that go through large tiles.
SHAPES = [
    (784, 100, 10, 100), (1, 1, 1, 3), (5, 7, 3, 8), (64, 1, 10, 16), (33, 65, 2, 1), (20, 12, 12, 4),
    (200, 50, 10, 32), (383, 31, 5, 33), (385, 33, 17, 7), (768, 40, 11, 12), (1601, 20, 300, 9),
    (130, 257, 13, 129), (40, 700, 50, 2048), (50, 300, 260, 4096),
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {"momentum": 0.0}, {"nesterov": True}, {"weight_decay": 0.01, "dampening": 0.3}, {"maximize": True},
    {"shuffle": False, "drop_last": True}, {"learning_rate": 1e-4, "momentum": 0.5},
]  # fmt: skip


def data(shape: tuple[int, int, int, int], kind: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of bytes or floats, many of them zero, and labels."""
    random = np.random.default_rng(shape[0] * 1000 + shape[1])
    pixels = random.integers(0, 256, (rows, shape[0]), dtype=np.uint8)
    pixels[random.random(pixels.shape) < 0.6] = 0
    features = pixels if kind == "bytes" else pixels.astype(np.float32) / 255 - np.float32(0.1)
    return features, random.integers(0, shape[2], rows)


def trainer(device: str, shape: tuple[int, int, int, int], **options: Any) -> twolayernet.Trainer:
    network = twolayernet.Network(*shape[:3], seed=3, device=device)
    return twolayernet.Trainer(network, batch_size=shape[3], **options)


def state(trained: twolayernet.Trainer, place: pathlib.Path) -> Results:
    """The whole of it: parameters, momentum, position."""
    trained.save(place / "trainer.pth")
    return [(place / "trainer.pth").read_bytes(), trained.position]


def training(shape: tuple[int, int, int, int], kind: str, options: dict[str, Any]) -> Run:
    """Epochs whose last batch is smaller, told of and not, and what the network then says."""

    def run(device: str, place: pathlib.Path) -> Results:
        rows = 3 * shape[3] + max(1, shape[3] // 3)
        features, labels = data(shape, kind, rows)
        dataset = twolayernet.Dataset(features, labels)
        trained = trainer(device, shape, **{"learning_rate": 0.02, **options})
        told: list[Any] = []
        trained.fit(dataset, 2)
        trained.fit(dataset, 5, told.append)
        floats = features.astype(np.float32)
        network = trained.network
        results = [told, *state(trained, place), tuple(network.evaluate(dataset))]
        results += [network.logits(floats), network.predict(floats), network.logits(floats[:1])]
        count = min(rows, 17)
        return [*results, trained.step(floats[:count], labels[:count]), *state(trained, place)]

    return run


def stopping(stop: int, what: str) -> Run:
    """A callback that ends the training, looks at it or changes it at a step, and going on after that."""

    def run(device: str, place: pathlib.Path) -> Results:
        shape = (64, 30, 10, 20)
        trained = trainer(device, shape)
        dataset = twolayernet.Dataset(*data(shape, "bytes", 1000))
        results: Results = []

        def callback(progress: twolayernet.Progress) -> None:
            results.append((progress, trained.position))
            if len(results) != stop:
                return
            if what == "cancel":
                trained.cancel()
            elif what == "look":
                results.append((*state(trained, place), tuple(trained.network.evaluate(dataset))))
            else:
                trained.set_learning_rate(0.01)

        try:
            trained.fit(dataset, 6, callback)
        except twolayernet.Cancelled:
            results += state(trained, place)
            other = trainer(device, shape)
            other.load(place / "trainer.pth")
            other.fit(dataset, 6 - other.position[0], results.append)
            trained = other
        return [*results, *state(trained, place)]

    return run


def diverging(device: str, place: pathlib.Path) -> Results:
    """A loss that is not finite, in the middle of an epoch."""
    shape = (64, 30, 10, 20)
    features, labels = data(shape, "floats", 1000)
    features[777] = 3e38
    trained = trainer(device, shape, shuffle=False)
    told: list[Any] = []
    message = ""
    try:
        trained.fit(twolayernet.Dataset(features, labels), 2, told.append)
    except twolayernet.TwoLayerNetError as error:
        message = str(error)
    return [message, told, *state(trained, place)]


def several(device: str, place: pathlib.Path) -> Results:
    """Networks that train by turns, and one that is made while others are there."""
    shape = (200, 40, 10, 50)
    dataset = twolayernet.Dataset(*data(shape, "bytes", 1025))
    trainers = [trainer(device, shape, learning_rate=rate) for rate in (0.1, 0.05, 0.01)]
    for epochs in (1, 2, 1):
        for trained in trainers:
            trained.fit(dataset, epochs)
    return [result for trained in trainers for result in state(trained, place)]


def comparisons(quick: bool) -> Iterator[tuple[str, Run]]:
    """`quick` leaves out what takes an emulator long."""
    for shape in SHAPES[1:8] if quick else SHAPES:
        for kind in ("bytes", "floats"):
            yield f"{'-'.join(map(str, shape[:3]))}, batch {shape[3]}, {kind}", training(shape, kind, {})
    for options in OPTIONS:
        yield str(options), training((100, 40, 10, 30), "bytes", options)
    for stop in (25, 51) if quick else (1, 25, 49, 50, 51, 137, 299):
        for what in ("cancel", "look", "rate"):
            yield f"{what} at step {stop}", stopping(stop, what)
    yield "a loss that is not finite", diverging
    yield "several networks", several


def same(one: Any, other: Any) -> bool:
    """Equal, and of numbers the same bits."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


def check(device: str, quick: bool = False) -> tuple[int, list[str]]:
    """How many comparisons there were, and which differ."""
    count, different = 0, []
    # As long as there is one network the driver keeps its context, which takes long to make.
    keeper = twolayernet.Network(1, 1, 1, device=device)
    with tempfile.TemporaryDirectory() as name:
        places = [pathlib.Path(name) / which for which in ("cpu", "device")]
        for place in places:
            place.mkdir()
        for what, run in comparisons(quick):
            count += 1
            try:
                # Twice on the device: the same each time.
                expected = run("cpu", places[0])
                if not all(same(expected, run(device, places[1])) for _ in range(2)):
                    different.append(what)
            except Exception as error:  # each is a finding, and none may keep the others back
                different.append(f"{what}: {type(error).__name__}: {error}")
    keeper.close()
    return count, different


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cuda")
    parser.add_argument("--quick", action="store_true", help="few comparisons, for an emulated device")
    arguments = parser.parse_args()
    device = arguments.device
    info = twolayernet.describe_device(device.partition(":")[0])
    if not info.available:
        print(f"{device} is not there: {info.reason}", file=sys.stderr)
        return 1
    count, different = check(device, arguments.quick)
    print("\n".join(f"differs: {what}" for what in different))
    print(f"{info.name}: {count - len(different)} of {count} comparisons with the cpu are the same to the bit")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
