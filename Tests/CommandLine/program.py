"""What the tests of the command line share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FASHION = Path("/usr/share/datasets/fashion-mnist")

Run = Callable[..., subprocess.CompletedProcess[str]]


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """What a failed run said: nothing on standard output, and one line on standard error."""
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("twolayernet: ")
    return lines[0]
