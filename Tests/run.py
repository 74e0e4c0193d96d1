#!/usr/bin/env python3
"""Runs every test of the repository and prints the totals in the last line.

`make test` builds what this needs first. Each suite writes a JUnit report, from which the totals come;
a suite that ends badly without a report counts as one failure.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
SWIFT_SOURCES = ["Sources", "Tests", "Package.swift"]


def totals(report: pathlib.Path) -> tuple[int, int, int]:
    """Passed, failed and skipped test cases of a JUnit report."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return len(cases) - failed - skipped, failed, skipped


def run(name: str, command: list[str], reports: pathlib.Path, pattern: str | None) -> tuple[int, int, int]:
    """Runs one suite; `pattern` finds the reports it writes, None if its exit status is its report."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    begin = time.monotonic()
    status = subprocess.run(command, cwd=ROOT).returncode
    found = [totals(path) for path in reports.glob(pattern)] if pattern else []
    passed, failed, skipped = (sum(column) for column in zip(*found)) if found else (0, 0, 0)
    if status != 0 and failed == 0:
        failed = 1
    elif not pattern:
        passed = 1
    elif passed == 0 and failed == 0:
        print(f"{name}: no test was run")
        failed = 1
    seconds = time.monotonic() - begin
    print(f"== {name}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s", flush=True)
    return passed, failed, skipped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["lint", "swift", "python"], help="run one suite alone")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as directory:
        reports = pathlib.Path(directory)
        suites = {
            "lint": (["swift", "format", "lint", "--strict", "-r", *SWIFT_SOURCES], None),
            "swift": (
                ["swift", "test", "-c", "release", "-Xswiftc", "-enable-testing", "--quiet"]
                + ["--xunit-output", str(reports / "swift.xml")],
                "swift*.xml",
            ),
            "python": (
                [sys.executable, "-m", "pytest", "-q", "-rs", f"--junit-xml={reports}/pytest.xml"]
                + [str(path) for path in [ROOT / "Tests", ROOT / "bindings/python/tests"]],
                "pytest.xml",
            ),
        }
        results = [
            run(name, command, reports, pattern)
            for name, (command, pattern) in suites.items()
            if only in (None, name)
        ]
    passed, failed, skipped = (sum(column) for column in zip(*results))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
