"""Changes the kernels in one place at a time and sees whether the tests notice.

    mutate.py [--count 12] [--seed 0] [--kernels cpu|gpu] [--files "Dense*"] [--tests ArithmeticTests]

The GPU's kernels are tested on the emulated device. Works on a copy of the repository in .build-mutation.
A change that does not compile, hangs or fails a test is noticed. One that survives either changes no result
(how far ahead memory is asked for, which of two equal ways is taken), which equivalent.txt then says with
the reason, or no test looks there, which is an error:

    File.swift | the line as it stands there => the changed line | reason
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import random
import re
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / ".build-mutation"
EQUIVALENT = pathlib.Path(__file__).with_name("equivalent.txt")

# Files, and the tests that look at them.
KERNELS = {
    "cpu": ("Sources/Kernels/*.swift", "ArithmeticTests|DividedStepTests"),
    "gpu": ("Sources/CGPUKernels/*.h", "KernelTests|ResidencyTests|ArithmeticTests"),
}
# Without optimisation the tests' own arithmetic takes many minutes.
FLAGS = ["-c", "release", "-Xswiftc", "-enable-testing"]
# What describes the kernels' surroundings.
NOT_KERNELS = ["step.h", "dialect.h", "embedded.h"]

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
ARITHMETIC = {"&+": "&-", "&-": "&+", "&*": "&+", "+": "-", "-": "+", "*": "+", "/": "*"}


@dataclasses.dataclass(frozen=True)
class Mutation:
    file: pathlib.Path
    line: int
    begin: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        lines = text.split("\n")
        lines[self.line] = lines[self.line][: self.begin] + self.new + lines[self.line][self.end :]
        return "\n".join(lines)


def places(file: pathlib.Path) -> list[Mutation]:
    found = []
    for number, line in enumerate(file.read_text().split("\n")):
        code = line.split("//")[0]
        if re.match(r"\s*(#|import|@|/\*|\* )", code):
            continue
        for match in re.finditer(r"(?<= )(<=|>=|==|!=|<|>|&\+|&-|&\*|\+|-|\*|/)(?= )", code):
            found.append(Mutation(file, number, *match.span(), {**COMPARISONS, **ARITHMETIC}[match[0]]))
        for match in re.finditer(r"(?<![\w.$])(0x[0-9a-f_.]+p?-?\d*|\d[\d_]*(?:\.\d+)?(?:e-?\d+)?)(?![\w.])", code):
            new = f"({match[0]} + 1)" if "." not in match[0] and "p" not in match[0] else f"({match[0]} * 1.0001)"
            found.append(Mutation(file, number, *match.span(), new))
    return found


def copy_repository() -> None:
    """Copies what has changed, so that what was built stays built."""
    COPY.mkdir(exist_ok=True)
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for name in files:
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            if not target.is_symlink():
                target.symlink_to(source.readlink())
        elif source.is_file() and (not target.exists() or target.read_bytes() != source.read_bytes()):
            target.write_bytes(source.read_bytes())


def build_and_test(tests: str) -> str:
    """What went wrong; "" if nothing."""
    build = ["swift", "build", *FLAGS, "--product", "twolayernetPackageTests"]
    test = ["swift", "test", *FLAGS, "--skip-build", "--filter", tests]
    for what, command, seconds in [("does not compile", build, 1800), ("fails", test, 600)]:
        try:
            # Not through pipes: what Swift's program has started would hold them open after its end.
            done = subprocess.run(
                command, cwd=COPY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds,
                preexec_fn=limit_processor_time if command is test else None,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "hangs"
        if done.returncode != 0:
            return what if done.returncode > 0 else "crashes"
    return ""


def limit_processor_time() -> None:
    """Lets the system end a test that never does, also where it runs below a program of Swift's."""
    resource.setrlimit(resource.RLIMIT_CPU, (300, 300))


def equivalents() -> set[tuple[str, str]]:
    """File and change of what changes no result."""
    found = set()
    for entry in EQUIVALENT.read_text().splitlines():
        if entry and not entry.startswith("#"):
            name, rest = entry.split(" | ", 1)
            change, reason = rest.rsplit(" | ", 1)
            assert reason
            found.add((name, change))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kernels", choices=KERNELS, default="cpu")
    parser.add_argument("--files", default="*", help="of the kernels' files, those whose names are so")
    parser.add_argument("--tests")
    arguments = parser.parse_args()
    pattern, tests = KERNELS[arguments.kernels]
    tests = arguments.tests or tests
    copy_repository()
    if wrong := build_and_test(tests):
        print(f"unchanged, it {wrong}")
        return 1
    files = sorted(file for file in COPY.glob(pattern) if file.name not in NOT_KERNELS and file.match(arguments.files))
    mutations = [mutation for file in files for mutation in places(file)]
    sample = random.Random(arguments.seed).sample(mutations, min(arguments.count, len(mutations)))
    known = equivalents()
    harmless, survivors = 0, 0
    for mutation in sample:
        original = mutation.file.read_text()
        begin = time.monotonic()
        try:
            mutation.file.write_text(mutation.apply(original))
            wrong = build_and_test(tests)
        finally:
            mutation.file.write_text(original)
        lines = (text.split("\n")[mutation.line].strip() for text in (original, mutation.apply(original)))
        change = " => ".join(lines)
        if not wrong and (mutation.file.name, change) in known:
            wrong = "changes nothing"
            harmless += 1
        survivors += not wrong
        where = f"{mutation.file.name}:{mutation.line + 1}"
        print(f"{wrong or 'SURVIVES':16} {where:28} {change}  ({time.monotonic() - begin:.0f} s)", flush=True)
    noticed = len(sample) - harmless - survivors
    print(f"of {len(sample)} changes of {len(mutations)} possible ones, {noticed} were noticed, {harmless} change nothing")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
