#!/usr/bin/env python3
"""Counts the instructions of a fixed short run with callgrind and compares them with instructions.json.

Unlike times, the counts are the same on a busy machine. The instruction set is fixed to AVX2 and to the
baseline, one thread. Exits with 1 if a count has grown by more than one per cent.

    instructions.py             compares
    instructions.py --update    replaces the record
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import programs

HERE = pathlib.Path(__file__).resolve().parent
RECORD = HERE / "instructions.json"
# The function of the library in which instructions are counted, for each part of the fixed run.
PARTS = {
    "create": "tln_network_create",
    "train_sparse_bytes": "tln_trainer_fit",
    "train_dense_floats": "tln_trainer_fit",
    "train_wide": "tln_trainer_fit",
    "step": "tln_trainer_step",
    "evaluate": "tln_network_evaluate",
    "predict_sparse": "tln_network_predict",
    "predict_dense": "tln_network_predict",
    "save": "tln_network_save",
    "load": "tln_network_load",
}
LEVELS = ["avx2", "baseline"]
TOLERANCE = 0.01


def count(program: str, part: str, level: str, place: pathlib.Path) -> int:
    """Instructions of one part at one instruction set."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]
    command += [f"--toggle-collect={PARTS[part]}", program, part, str(place / "network.pth")]
    environment = {**os.environ, "TLN_INSTRUCTION_SET": level}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or not found:
        raise RuntimeError(f"callgrind of {part} failed:\n{result.stderr}")
    return int(found.group(1))


def worse(old: dict[str, int], new: dict[str, int]) -> list[str]:
    """The parts whose counts have grown by more than the tolerance."""
    return [part for part in new if part in old and new[part] > old[part] * (1 + TOLERANCE)]


def change(old: int | None, new: int) -> str:
    return "new" if old is None else f"{new / old - 1:+.2%}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="make these counts the record")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        print(
            "valgrind is missing; on Debian or Ubuntu: sudo apt-get install -y valgrind", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        program = programs.build(place, ["fixed_run"])["fixed_run"]
        counts = {
            level: {part: count(program, part, level, place) for part in PARTS} for level in LEVELS
        }
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    grown = []
    for level in LEVELS:
        old = record.get(level, {})
        for part, number in counts[level].items():
            print(f"{level:9} {part:20} {number:14,} {change(old.get(part), number)}")
        grown += [f"{level} {part}" for part in worse(old, counts[level])]
    if arguments.update:
        RECORD.write_text(json.dumps(counts, indent=1) + "\n")
        return 0
    print(f"worse than the record: {', '.join(grown)}" if grown else "nothing is worse than the record")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
