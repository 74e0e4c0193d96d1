#!/usr/bin/env python3
"""Looks for sizes and options at which a training here is not PyTorch's to the bit.

    OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 python explore.py --seconds 60 --seed 1 --output found.jsonl

Each line of the output is a case with its outcome; the summary at the end counts them. README.md tells
what was found.
"""

import argparse
import dataclasses
import json
import random
import sys
import time

import conftest  # noqa: F401  (finds the library)
import torch

from runs import Case, compare, draw_case


def numbers(text: str) -> tuple[int, int]:
    lowest, _, highest = text.partition("-")
    return int(lowest), int(highest or lowest)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long to look")
    parser.add_argument("--seed", type=int, default=0, help="which cases to draw")
    parser.add_argument("--inputs", type=numbers, default=(1, 4096), metavar="LOW-HIGH")
    parser.add_argument("--hidden", type=numbers, default=(1, 1024), metavar="LOW-HIGH")
    parser.add_argument("--outputs", type=numbers, default=(2, 100), metavar="LOW-HIGH")
    parser.add_argument("--batch", type=numbers, default=(1, 1000), metavar="LOW-HIGH")
    parser.add_argument("--most-work", type=float, default=1e9, help="products of a step, at most")
    parser.add_argument("--case", type=json.loads, help="one case of an earlier output, as JSON")
    parser.add_argument("--output", help="a file to which a line for each case is added")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    draw = random.Random(arguments.seed)
    end = time.monotonic() + arguments.seconds
    count = equal = 0
    farthest = 0.0
    while time.monotonic() < end:
        if arguments.case:
            case = Case(**arguments.case)
        else:
            ranges = {
                name: getattr(arguments, name) for name in ("inputs", "hidden", "outputs", "batch")
            }
            case = draw_case(draw, **ranges, most_work=arguments.most_work)
        outcome = compare(case)
        count += 1
        equal += outcome.equal
        line = json.dumps({"case": dataclasses.asdict(case), "outcome": dataclasses.asdict(outcome)})
        if not outcome.equal:
            farthest = max(farthest, outcome.distance)
            print(line, flush=True)
        if arguments.output:
            with open(arguments.output, "a") as file:
                file.write(line + "\n")
        if arguments.case:
            break
    print(f"{count} cases, {equal} equal to the bit; the farthest weight of the others: {farthest:g}")
    return 0 if equal == count else 1


if __name__ == "__main__":
    sys.exit(main())
