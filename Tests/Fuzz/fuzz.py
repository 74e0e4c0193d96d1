#!/usr/bin/env python3
"""Builds the fuzz targets, runs them, reports what they reach. See README.md.

    fuzz.py run [TARGET ...] [--seconds N]      each target for N seconds (60)
    fuzz.py coverage [TARGET ...]               lines that the corpora reach, file by file
    fuzz.py minimize [TARGET ...]               what the runs found, into Tests/Fuzz/corpus
    fuzz.py repeat TARGET FILE ...              one input again

What runs leave behind is in .build-fuzz: the growing corpora, and crashes with their inputs.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = HERE.parent / "Golden/checkpoints"

# Every target, and the most bytes of an input: some times what its seeds have.
TARGETS = {
    "idx": 4096, "gzip": 4096, "zip": 8192, "pickle": 8192, "safetensors": 8192, "torch": 8192,
    "network": 8192, "trainer": 20000, "npz": 8192, "image": 4096, "options": 512,
}  # fmt: skip
# Which recordings are seeds of which targets.
RECORDINGS = {
    "zip": "*/*[!m].pth", "torch": "*/*.pth", "network": "torch-2*/*", "trainer": "*/*.pth",
    "safetensors": "*/*.safetensors",
}  # fmt: skip

# Two builds: one for finding, which AddressSanitizer watches, and one that counts lines.
BUILDS = {
    "address": (".build-fuzz", ["-sanitize=fuzzer,address"]),
    "coverage": (
        ".build-fuzz/coverage", ["-sanitize=fuzzer,address", "-profile-generate", "-profile-coverage-mapping"]
    ),
}  # fmt: skip

# What the readers consist of; the rest of the engine is not for the fuzzers to reach.
READERS = r"/(Checkpoints/.*|Data/.*|System/(File|Bytes|Buffer)|Images/(GrayImage|PGM|PNG))\.swift$"


def build(kind: str) -> pathlib.Path:
    scratch, flags = BUILDS[kind]
    command = ["swift", "build", "-c", "release", "--product", "FuzzTargets", "--scratch-path", scratch]
    for flag in ["-enable-testing", *flags]:
        command += ["-Xswiftc", flag]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "TLN_FUZZ": "1"}, check=True)
    program = ROOT / scratch / "fuzz"
    library = ROOT / scratch / "release/libFuzzTargets.a"
    new = program.with_suffix(".new")
    subprocess.run(["swiftc", *flags, "-use-ld=lld", library, "-lz", "-o", new], check=True)
    new.rename(program)
    return program


def environment(target: str, **more: str) -> dict[str, str]:
    # A large allocation that fails is the engine's business, not the end.
    return {
        **os.environ, "TLN_FUZZ_TARGET": target, "SWIFT_BACKTRACE": "enable=no",
        "ASAN_OPTIONS": "allocator_may_return_null=1", **more,
    }  # fmt: skip


def seeds(program: pathlib.Path, target: str) -> pathlib.Path:
    directory = ROOT / ".build-fuzz/seeds"
    if not directory.exists():
        subprocess.run([program], env=environment("", TLN_FUZZ_SEEDS=str(directory)), check=True)
        for name, pattern in RECORDINGS.items():
            for path in sorted(GOLDEN.glob(pattern)):
                if path.suffix != ".json":
                    shutil.copy(path, directory / name / f"{path.parent.name}-{path.name}")
    return directory / target


def corpora(program: pathlib.Path, target: str) -> list[pathlib.Path]:
    """The growing corpus first, then what it starts from."""
    growing = ROOT / ".build-fuzz/corpus" / target
    growing.mkdir(parents=True, exist_ok=True)
    kept = HERE / "corpus" / target
    return [growing, seeds(program, target)] + ([kept] if kept.exists() else [])


def run(program: pathlib.Path, target: str, seconds: int) -> tuple[int, str, int]:
    """Executions, the last words about coverage, and findings; goes on after each finding."""
    begin, executions, findings, reached = time.monotonic(), 0, 0, "nothing"
    artifacts = ROOT / ".build-fuzz/findings"
    artifacts.mkdir(exist_ok=True)
    while (left := round(seconds - (time.monotonic() - begin))) > 0 and findings < 20:
        command = [program, *corpora(program, target), f"-max_total_time={left}", f"-max_len={TARGETS[target]}"]
        # The target itself sees that an input takes little processor time; this is for hanging.
        command += ["-print_final_stats=1", "-rss_limit_mb=4096", "-timeout=120", "-report_slow_units=120"]
        command.append("-reload=0")
        command.append(f"-artifact_prefix={artifacts}/{target}-")
        dictionary = HERE / "dictionaries" / f"{target}.dict"
        if dictionary.exists():
            command.append(f"-dict={dictionary}")
        result = subprocess.run(command, env=environment(target), stderr=subprocess.PIPE, text=True, errors="replace")
        executions += sum(map(int, re.findall(r"number_of_executed_units: (\d+)", result.stderr)))
        reached = (re.findall(r"cov: \d+ ft: \d+ corp: \S+", result.stderr) or [reached])[-1]
        if result.returncode != 0:
            findings += 1
            print("\n".join(result.stderr.splitlines()[-60:]), flush=True)
    return executions, reached, findings


def report(program: pathlib.Path, targets: list[str]) -> None:
    """Lines of the readers that the corpora of these targets reach."""
    profiles = ROOT / ".build-fuzz/profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    for target in targets:
        command = [program, *corpora(program, target), "-runs=0", "-max_len=1000000"]
        more = {"LLVM_PROFILE_FILE": f"{profiles}/{target}.profraw"}
        subprocess.run(command, env=environment(target, **more), check=True, stderr=subprocess.DEVNULL)
    # Those of the toolchain: the system's may be older than the format.
    tools = pathlib.Path(shutil.which("swift")).resolve().parent
    merged = profiles / "merged.profdata"
    raw = sorted(profiles.glob("*.profraw"))
    subprocess.run([tools / "llvm-profdata", "merge", "-sparse", *raw, "-o", merged], check=True)
    arguments = [program, f"-instr-profile={merged}"]
    files = [str(path) for path in sorted((ROOT / "Sources").rglob("*.swift")) if re.search(READERS, str(path))]
    summary = subprocess.run(
        [tools / "llvm-cov", "report", *arguments, *files], check=True, capture_output=True, text=True
    ).stdout
    print(f"{'file':58}{'lines':>7}{'reached':>9}{'functions':>11}{'reached':>9}")
    for line in summary.splitlines():
        word = line.split()
        if word and (word[0].endswith(".swift") or word[0] == "TOTAL"):
            print(f"{word[0].split('Sources/')[-1]:58}{word[7]:>7}{word[9]:>9}{word[4]:>11}{word[6]:>9}")
    html = ROOT / ".build-fuzz/coverage-report"
    shutil.rmtree(html, ignore_errors=True)
    subprocess.run(
        [tools / "llvm-cov", "show", "-format=html", f"-output-dir={html}", *arguments, *files], check=True
    )
    print(f"line by line: {html.relative_to(ROOT)}/index.html")


def minimize(program: pathlib.Path, target: str) -> None:
    """The smallest set of inputs that reaches as much, without those that are seeds anyway."""
    new = ROOT / ".build-fuzz/minimized" / target
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    # Merging into a folder that holds the seeds adds only what they do not reach.
    start = seeds(program, target)
    names = {shutil.copy(path, new).split("/")[-1] for path in start.iterdir()}
    command = [program, "-merge=1", f"-max_len={TARGETS[target]}", new, *corpora(program, target)]
    subprocess.run(command, env=environment(target), check=True, stderr=subprocess.DEVNULL)
    kept = HERE / "corpus" / target
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for path in new.iterdir():
        if path.name not in names:
            shutil.copy(path, kept)
    count, size = len(list(kept.iterdir())), sum(path.stat().st_size for path in kept.iterdir())
    print(f"{target}: {count} inputs, {size} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ["run", "coverage", "minimize"]:
        command = commands.add_parser(name)
        command.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET")
        if name == "run":
            command.add_argument("--seconds", type=int, default=60)
    command = commands.add_parser("repeat")
    command.add_argument("target", choices=TARGETS)
    command.add_argument("files", nargs="+")
    options = parser.parse_args()
    if options.command == "repeat":
        program = build("address")
        return subprocess.run([program, *options.files], env=environment(options.target)).returncode
    targets = options.targets or list(TARGETS)
    program = build("coverage" if options.command == "coverage" else "address")
    if options.command == "coverage":
        report(program, targets)
        return 0
    findings = 0
    for target in targets:
        if options.command == "minimize":
            minimize(program, target)
            continue
        executions, reached, found = run(program, target, options.seconds)
        print(f"{target}: {executions} executions in {options.seconds} s, {reached}, {found} findings", flush=True)
        findings += found
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
