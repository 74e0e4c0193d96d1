"""Which lines of the engine and the C functions the tests run.

    coverage.py [--report]

Builds the tests and the command line, and the C library in normal Swift (Embedded Swift has no coverage),
with counters; runs the Swift tests on the one and pytest's on the others; prints the share of lines for each
folder. Every line that is not run must stand in uncovered.txt with its reason:

    File.swift | the line as it stands there | reason

`--report` only reads the counters of the last run.
"""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build-coverage"
LIBRARY = BUILD / "library/libtwolayernet.so"
TESTS = BUILD / "tests/release"
COMMAND = TESTS / "twolayernet"
PROFILES = BUILD / "profiles"
PROCESSES = BUILD / "processes.profdata"
WRITER = pathlib.Path(__file__).with_name("profile.c")
LISTED = pathlib.Path(__file__).with_name("uncovered.txt")
FOLDERS = ["Sources/TwoLayerNet", "Sources/CABI", "Sources/CSystem", "Sources/Kernels"]
COUNTERS = ["-Xswiftc", "-profile-generate", "-Xswiftc", "-profile-coverage-mapping"]
COUNTERS += ["-Xcc", "-fprofile-instr-generate", "-Xcc", "-fcoverage-mapping"]
PYTEST = ["bindings/python/tests", "Tests/Hostile", "Tests/Host", "Tests/Faults", "Tests/Devices", "Tests/CommandLine"]
# What the ordinary Swift runtime does not survive, as memory that runs out, and what is about other builds
# or takes long and runs nothing that others don't.
NOT = ["command_line", "allocation", "memory_runs_out", "unloading", "faults_are_noticed", "statically"]
NOT += ["steps_take_no_memory", "give_their_memory_back"]
DESELECTED = " and ".join(f"not {word}" for word in NOT)


def run(*command: object, **environment: str) -> None:
    print("==", *command, flush=True)
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True, env={**os.environ, **environment})


def tool(name: str) -> pathlib.Path:
    """The toolchain's own, which knows its compiler's format."""
    return pathlib.Path(shutil.which("swift")).resolve().parent / name


def build_library() -> None:
    scratch = BUILD / "objects"
    run("swift", "build", "-c", "release", "--scratch-path", scratch, "--target", "CABI", *COUNTERS)
    objects = sorted((scratch / "release").glob("*.build/**/*.o"))
    LIBRARY.parent.mkdir(parents=True, exist_ok=True)
    writer = LIBRARY.with_name("profile.o")
    run(tool("clang"), "-std=gnu11", "-O1", "-Wall", "-Wextra", "-fPIC", "-c", WRITER, "-o", writer)
    run(
        "swiftc", "-emit-library", "-profile-generate", "-use-ld=lld", "-o", LIBRARY, writer, *objects, "-lz", "-lm",
        "-Xlinker", "-soname=libtwolayernet.so.0",
    )
    name = LIBRARY.with_suffix(".so.0")
    name.unlink(missing_ok=True)
    name.symlink_to(LIBRARY.name)


def measure() -> None:
    shutil.rmtree(PROFILES, ignore_errors=True)
    PROFILES.mkdir(parents=True)
    build_library()
    flags = ["-c", "release", "-Xswiftc", "-enable-testing", "--scratch-path", BUILD / "tests"]
    run("swift", "test", *flags, "--enable-code-coverage", "--quiet")
    environment = {
        "TLN_COVERAGE_PROFILES": str(PROFILES), "TLN_TEST_LIBRARY": str(LIBRARY), "TWOLAYERNET_LIBRARY": str(LIBRARY),
        # The command line has the runtime's own writer, but no forks: a file for each process again.
        "LLVM_PROFILE_FILE": str(PROFILES / "command-%p.profraw"), "TLN_TEST_CLI": str(COMMAND),
    }
    run(sys.executable, "-m", "pytest", "-q", *PYTEST, "-k", DESELECTED, **environment)
    add_up_processes()


def add_up_processes() -> None:
    """One file out of those of all processes, which are some thousand, of 250 KB each."""
    complete, cut_off = sorted(PROFILES.glob("*.profraw")), sorted(PROFILES.glob("*.part"))
    print(f"counters of {len(complete)} processes; {len(cut_off)} were killed while they wrote theirs")
    names = BUILD / "profiles.txt"
    names.write_text("".join(f"{path}\n" for path in complete))
    run(tool("llvm-profdata"), "merge", "-sparse", f"--input-files={names}", "-o", PROCESSES)
    shutil.rmtree(PROFILES)


def line_counts() -> dict[pathlib.Path, dict[int, int]]:
    merged = BUILD / "merged.profdata"
    run(tool("llvm-profdata"), "merge", "-sparse", PROCESSES, TESTS / "codecov/default.profdata", "-o", merged)
    counts: dict[pathlib.Path, dict[int, int]] = collections.defaultdict(dict)
    # One by one: of several, llvm-cov takes each function from the first alone.
    for program in [TESTS / "twolayernetPackageTests.xctest", LIBRARY, COMMAND]:
        export = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={merged}", program]
        lcov = subprocess.run(export, check=True, capture_output=True, text=True).stdout
        for line in lcov.splitlines():
            if line.startswith("SF:"):
                # The kernels are compiled once for each instruction set, through links to their folder.
                file = pathlib.Path(line[3:]).resolve()
            elif line.startswith("DA:"):
                number, count = (int(word) for word in line[3:].split(",")[:2])
                counts[file][number] = max(count, counts[file].get(number, 0))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true")
    if not parser.parse_args().report:
        measure()
    counts = line_counts()
    print(f"\n{'folder':40} lines   run")
    unrun: list[tuple[str, int, str]] = []
    for folder in FOLDERS:
        total, covered = 0, 0
        for file in sorted((ROOT / folder).rglob("*")):
            for number, count in sorted(counts.get(file.resolve(), {}).items()):
                total, covered = total + 1, covered + (count > 0)
                text = file.read_text().splitlines()[number - 1].strip()
                if count == 0 and not re.fullmatch(r"[\])}]*|}? ?else ?{|//.*|.*//.*does not return.*", text):
                    unrun.append((file.name, number, text))
        if total:
            print(f"{folder:40} {total:5} {100 * covered / total:5.1f} %")
    listed = collections.Counter()
    for entry in LISTED.read_text().splitlines() if LISTED.exists() else []:
        if entry and not entry.startswith("#"):
            name, rest = entry.split(" | ", 1)
            text, reason = rest.rsplit(" | ", 1)
            assert reason
            listed[name, text] += 1
    missing = [place for place in unrun if (place[0], place[2]) not in listed]
    for name, number, text in missing:
        print(f"{name} | {text} | (line {number})")
    stale = set(listed) - {(name, text) for name, _, text in unrun}
    for name, text in sorted(stale):
        print(f"is run now, or gone: {name} | {text}")
    print(f"{len(unrun)} lines are not run, {len(missing)} of them for no known reason")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
