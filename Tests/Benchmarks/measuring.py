"""Measuring in alternation: in each round every contestant has one turn, so that whatever the machine does
meanwhile meets all of them. What is compared are ratios within a round, and of those the median."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any, Callable

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# A pause between turns: long enough for the threads of the last contestant to stop spinning (OpenBLAS's
# do for about 30 ms).
PAUSE = 0.06


class Unavailable(Exception):
    """A peer that cannot be measured here, and why."""


class Peer:
    """A process that does tasks when told to; see peers/worker.py."""

    def __init__(self, python: str, program: str, threads: int, *arguments: str) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
        }
        # What NumPy's OpenBLAS finds out itself about the processor.
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            environment.pop(name, None)
        environment["TWOLAYERNET_LIBRARY"] = str(ROOT / "dist/libtwolayernet.so")
        environment["PYTHONPATH"] = str(ROOT / "bindings/python/src")
        self.threads = threads
        try:
            self.process = subprocess.Popen(
                [python, str(HERE / "peers" / program), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise Unavailable(f"{python}: {error.strerror}") from None
        first = self.process.stdout.readline()
        if not first:
            lines = self.process.stderr.read().strip().splitlines() or ["it ended without a word"]
            raise Unavailable(lines[-1])
        self.name, self.version = (json.loads(first)[key] for key in ("name", "version"))

    def ask(self, task: str, **arguments: Any) -> float:
        """Has a task done; the seconds it took."""
        self.process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer["seconds"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


Times = dict[str, list[float]]


def alternate(
    contestants: dict[str, Callable[[], float]], rounds: int, fewer: dict[str, int] = {}
) -> Times:
    """The results of all turns. `fewer` says who takes part in the first so many rounds only."""
    times: Times = {name: [] for name in contestants}
    for number in range(rounds):
        for name, turn in contestants.items():
            if number < fewer.get(name, rounds):
                time.sleep(PAUSE)
                times[name].append(turn())
    return times


def median_ratio(times: Times, numerator: str, denominator: str) -> float:
    """The median over the rounds of the quotient of two contestants' times."""
    return statistics.median(a / b for a, b in zip(times[numerator], times[denominator]))


def best(times: Times, names: list[str]) -> str | None:
    """Of several ways to run one peer, the one with the lowest median."""
    measured = [name for name in names if times.get(name)]
    return min(measured, key=lambda name: statistics.median(times[name])) if measured else None


def output_of(command: list[str], **options: Any) -> str:
    """A program's standard output."""
    result = subprocess.run(command, check=True, capture_output=True, text=True, **options)
    return result.stdout


def time_to_first_line(command: list[str]) -> float:
    """Seconds from a program's start to its first line of output. It is then ended."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - begin
        process.kill()
    if not line:
        raise RuntimeError(f"{command[0]} printed nothing")
    return seconds


# Runs a program and prints the peak of its memory. In a process of its own, because the system counts what
# the parent had resident when it started the child.
PEAK_OF_CHILD = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_memory(command: list[str]) -> int:
    """The most bytes a program had resident."""
    return int(output_of([sys.executable, "-c", PEAK_OF_CHILD, *command])) * 1024
