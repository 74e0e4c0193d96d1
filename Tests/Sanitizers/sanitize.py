#!/usr/bin/env python3
"""Runs the tests under a sanitizer of the Swift toolchain, or the C consumer under valgrind.

    sanitize.py address      AddressSanitizer with leak detection
    sanitize.py thread       ThreadSanitizer
    sanitize.py undefined    UndefinedBehaviorSanitizer, for the parts in C
    sanitize.py valgrind     memcheck with leaks, helgrind and drd, on the shipped library

The first two build the Swift tests and the library (in Embedded Swift, as it is shipped) with the
sanitizer, and run the Swift suite, the C and C++ consumers and the Python binding's tests. What is left
out of the Swift suite is named in LEFT_OUT, and printed. The third does without the Swift suite: Swift
traps where C is undefined, and this sanitizer sees C alone.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "Tests"))

from conftest_data import unpack_digits  # noqa: E402

# The toolchain's own clang, whose sanitizer runtimes belong to its Swift.
TOOLCHAIN = pathlib.Path(shutil.which("swift") or "swift").resolve().parent

# Recordings of whole trainings: minutes of the same few kernels, which the other tests run too, under
# sanitizers that make them many times as slow.
LEFT_OUT = ["TrainingTests"]

# An allocation of more than there is fails, as it does elsewhere; tests ask for such.
OPTIONS = {
    "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1:check_initialization_order=1:strict_string_checks=1",
    "TSAN_OPTIONS": "allocator_may_return_null=1:halt_on_error=0:second_deadlock_stack=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def run(name: str, command: list, **environment: str) -> bool:
    print(f"== {name}", flush=True)
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **OPTIONS, **environment}).returncode
    print(f"== {name}: {'passed' if status == 0 else f'FAILED with status {status}'}", flush=True)
    return status == 0


def swift_suite(kind: str, scratch: str) -> bool:
    # No test is XCTest's, which leaks.
    flags = ["--disable-xctest", "-c", "release", "-Xswiftc", "-enable-testing", "--scratch-path", f"{scratch}/tests"]
    print(f"left out: {', '.join(LEFT_OUT)}")
    skipped = [argument for name in LEFT_OUT for argument in ["--skip", name]]
    command = ["swift", "test", "--sanitize", kind, *flags, *skipped]
    return run(f"Swift tests, {kind}", command)


def library(kind: str, scratch: str) -> pathlib.Path:
    """The shared library, built as it is shipped, with the sanitizer."""
    command = ["swift", "build", "-c", "release", "--product", "twolayernet", "--disable-local-rpath"]
    # The compiler of Swift has no UndefinedBehaviorSanitizer, that of C does; programs bring its runtime.
    command += ["-Xcc", "-fsanitize=undefined"] if kind == "undefined" else ["--sanitize", kind]
    command += ["--scratch-path", f"{scratch}/library"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "TLN_EMBEDDED": "1"}, check=True)
    directory = ROOT / scratch / "library/release"
    soname = directory / "libtwolayernet.so.0"
    soname.unlink(missing_ok=True)
    soname.symlink_to("libtwolayernet.so")
    return directory


def compile(source: str, directory: pathlib.Path, flags: list[str], place: pathlib.Path) -> pathlib.Path:
    """A program of Tests that uses the library in the directory."""
    program = place / source.replace("/", "-")
    compiler, standard = ("clang++", "c++17") if source.endswith("pp") else ("clang", "gnu11")
    # DWARF 4, since valgrind may be older than its successor.
    command = [TOOLCHAIN / compiler, f"-std={standard}", "-gdwarf-4", "-O1", f"-I{ROOT}/include"]
    command += [ROOT / "Tests" / source, "-o", program, *flags, "-lpthread"]
    command += [f"-L{directory}", "-ltwolayernet", f"-Wl,-rpath,{directory}"]
    subprocess.run(command, check=True)
    return program


# This toolchain's ThreadSanitizer also watches Dispatch, and asks for it.
DISPATCH = TOOLCHAIN.parent / "lib/swift/linux"


def link_flags(kind: str) -> list[str]:
    """What a program in C needs."""
    if kind != "thread":
        return [f"-fsanitize={kind}"]
    return ["-fsanitize=thread", f"-L{DISPATCH}", f"-Wl,-rpath,{DISPATCH}", "-ldispatch", "-lBlocksRuntime"]


def consumers(directory: pathlib.Path, flags: list[str], place: pathlib.Path) -> dict[str, list]:
    """Commands that run the C and the C++ consumer."""
    files = [unpack_digits(place), place / "mnist.pth", place / "trainer.pth", "2"]
    return {
        "consumer.c": [compile("Consumers/consumer.c", directory, flags, place), *files],
        "consumer.cpp": [compile("Consumers/consumer.cpp", directory, flags, place)],
    }


def hosts(directory: pathlib.Path, flags: list[str], place: pathlib.Path) -> dict[str, list]:
    """Commands that run the host program with some threads at once."""
    program = compile("Host/host.c", directory, flags, place)
    scenarios = ["train_together", "predict_together", "cancel", "errors_together"]
    return {f"host.c {scenario}": [program, scenario, "8"] for scenario in scenarios}


def runtime(kind: str) -> str:
    """The sanitizer as a shared library, for programs that were built without it."""
    name = {"address": "asan", "thread": "tsan", "undefined": "ubsan_standalone"}[kind]
    command = [TOOLCHAIN / "clang", f"-print-file-name=libclang_rt.{name}-x86_64.so"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(found):
        command = [TOOLCHAIN / "clang", "-print-runtime-dir"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        found += f"/libclang_rt.{name}-x86_64.so"
    return f"{found}:{DISPATCH}/libdispatch.so" if kind == "thread" else found


def python_suite(kind: str, directory: pathlib.Path, place: pathlib.Path) -> bool:
    """The binding's tests in a Python that has the sanitizer loaded before everything else."""
    logs = place / "report"
    more = {"LD_PRELOAD": runtime(kind), "TWOLAYERNET_LIBRARY": str(directory / "libtwolayernet.so.0")}
    # Python and NumPy do not free all at their end. Leaks count if the library is in their stack.
    more |= {"ASAN_OPTIONS": f"{OPTIONS['ASAN_OPTIONS']}:log_path={logs}", "LSAN_OPTIONS": "exitcode=0"}
    more |= {"TSAN_OPTIONS": f"{OPTIONS['TSAN_OPTIONS']}:log_path={logs}:exitcode=0", "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", ROOT / "bindings/python/tests"]
    passed = run(f"Python tests, {kind}", command, **more)
    ours = []
    for path in place.glob("report*"):
        for block in re.split(r"\n\n", path.read_text(errors="replace")):
            if "libtwolayernet" in block:
                ours.append(block)
    for block in ours:
        print(block)
    print(f"== Python tests, {kind}: {len(ours)} reports with the library in them", flush=True)
    return passed and not ours


def sanitize(kind: str, parts: list[str]) -> bool:
    scratch = f".build-{kind}"
    passed = True
    if "swift" in parts and kind != "undefined":
        passed &= swift_suite(kind, scratch)
    if "consumers" not in parts and "python" not in parts:
        return passed
    directory = library(kind, scratch)
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        if "consumers" in parts:
            flags = link_flags(kind)
            programs = consumers(directory, flags, place) | hosts(directory, flags, place)
            for source, command in programs.items():
                passed &= run(f"{source}, {kind}", command)
        if "python" in parts:
            passed &= python_suite(kind, directory, place)
    return passed


def valgrind() -> bool:
    if not shutil.which("valgrind"):
        print("valgrind is not installed; on Debian or Ubuntu: sudo apt-get install valgrind", file=sys.stderr)
        return False
    passed = True
    with tempfile.TemporaryDirectory() as name:
        # Not the host: helgrind and drd take every atomic operation between its threads for a race.
        commands = consumers(ROOT / "dist", [], pathlib.Path(name))
        leaks = ["--leak-check=full", "--show-leak-kinds=all", "--errors-for-leak-kinds=all"]
        # On one processor the pool starts no threads: the atomic operations by which it hands work over are
        # races to helgrind and drd whenever a thread is in time to get some. ThreadSanitizer knows them.
        alone = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
        for tool, flags in [("memcheck", leaks), ("helgrind", []), ("drd", [])]:
            for source, command in commands.items():
                start = ["valgrind", "-q", f"--tool={tool}", "--error-exitcode=99", "--fair-sched=yes", *flags]
                if tool != "memcheck":
                    start = [*alone, *start]
                # valgrind knows no AVX-512.
                passed &= run(f"{source}, {tool}", [*start, *command], TLN_INSTRUCTION_SET="avx2")
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["address", "thread", "undefined", "valgrind"])
    parts = ["swift", "consumers", "python"]
    parser.add_argument("parts", nargs="*", choices=[[], *parts], metavar="PART", help=", ".join(parts))
    options = parser.parse_args()
    chosen = options.parts or parts
    passed = valgrind() if options.kind == "valgrind" else sanitize(options.kind, chosen)
    print(f"{options.kind}: {'clean' if passed else 'NOT CLEAN'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
