"""What all peers have in common: a process that keeps its data and does one task when it is told to.

A request is a line of JSON on standard input, {"task": "epoch", ...}; the answer, a line on standard
output, {"seconds": ...}. Between requests the process sleeps, so that it doesn't disturb the others.
"""

import json
import sys
import time
import traceback
from typing import Any, Callable

import numpy as np


def features_and_labels(workload: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of a workload, as they lie in the page cache: every process sees the same memory."""
    return np.load(workload["features"], mmap_mode="r"), np.load(workload["labels"], mmap_mode="r")


def as_floats(features: np.ndarray) -> np.ndarray:
    """float32; bytes become value / 255."""
    return (
        np.divide(features, np.float32(255), dtype=np.float32)
        if features.dtype == np.uint8
        else features
    )


def time_passes(work: Callable[[], Any], least: float) -> float:
    """Seconds for one pass, from as many as take `least` seconds in all."""
    passes = 0
    begin = time.perf_counter()
    while True:
        work()
        passes += 1
        elapsed = time.perf_counter() - begin
        if elapsed >= least:
            return elapsed / passes


def serve(peer: Any) -> None:
    """Answers requests until standard input ends. `prepare` sets up; other tasks are timed."""
    print(json.dumps({"name": peer.name, "version": peer.version}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        task = getattr(peer, request.pop("task"))
        least = request.pop("least", None)
        try:
            if least is None:
                task(**request)
                answer = {"seconds": 0.0}
            else:
                answer = {"seconds": time_passes(lambda: task(**request), least)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


class Rows:
    """Which rows the steps of an epoch take: all in a new order, or a limited number of steps at random."""

    def __init__(self, count: int, batch: int, steps: int) -> None:
        self.count, self.batch, self.steps = count, batch, steps
        self.random = np.random.default_rng(0)
        self.some = self.random.integers(0, count, (steps, batch))

    def __iter__(self):
        if self.steps * self.batch < self.count:
            return iter(self.some)
        order = self.random.permutation(self.count)
        return iter(order[: self.steps * self.batch].reshape(self.steps, self.batch))
