#!/usr/bin/env python3
"""Measures the library beside others that do the same work, and writes REPORT.md, report.json and plots.

`make bench` builds and installs what this needs; README.md tells what is measured and how.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import sys
import tempfile
import time

import programs
import report as reporting
from datasets import Datasets
from goals import goals
from sections import SECTIONS, Bench

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def find_mnist(named: pathlib.Path | None) -> pathlib.Path | None:
    """A directory with MNIST's files: the one named, else where the repository keeps data."""
    if named:
        return named
    for place in [ROOT / "data", ROOT / "data/MNIST/raw", ROOT / "../shared/mnist"]:
        if any(place.glob("train-images-idx3-ubyte*")):
            return place
    return None


def machine() -> dict[str, object]:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        name = re.search(r"model name\s*: (.*)", text).group(1)
    except (OSError, AttributeError):
        name = platform.processor()
    return {"processor": name, "processors": os.cpu_count(), "system": platform.platform()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form, of two minutes")
    parser.add_argument("--mnist", type=pathlib.Path, help="directory with MNIST's files")
    parser.add_argument(
        "--pytorch", default=str(ROOT / ".venv-pytorch/bin/python"), help="Python that has it"
    )
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), help="measure some sections only")
    parser.add_argument("--output", type=pathlib.Path, help="directory for the report")
    arguments = parser.parse_args()
    output = arguments.output or (ROOT / "dist/bench" if arguments.quick else HERE)
    output.mkdir(parents=True, exist_ok=True)

    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        datasets = Datasets(pathlib.Path(place), find_mnist(arguments.mnist))
        bench = Bench(
            datasets, programs.build(pathlib.Path(place)), arguments.pytorch, arguments.quick, threads=2
        )
        report = {
            "date": datetime.date.today().isoformat(),
            "quick": arguments.quick,
            "generated": datasets.is_generated,
            "machine": machine(),
            "versions": bench.versions,
            "missing": bench.missing,
            "rounds": bench.rounds,
            "threads": bench.threads,
            "sections": {},
        }
        try:
            for name, measure in SECTIONS.items():
                if arguments.only is None or name in arguments.only:
                    print(f"{time.monotonic() - begin:5.0f} s  {name}", flush=True)
                    report["sections"][name] = measure(bench)
        finally:
            bench.close()
    report["minutes"] = round((time.monotonic() - begin) / 60, 1)
    report["goals"] = [vars(goal) for goal in goals(report)]
    (output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    reporting.write(report, output)
    for goal in goals(report):
        measured = "" if goal.measured is None else f"{goal.measured:.3g} {goal.unit}"
        print(f"{reporting.verdict(goal.met):12} {goal.what}: {goal.goal}; {measured} {goal.note}")
    print(f"{output / 'REPORT.md'}, after {report['minutes']} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
