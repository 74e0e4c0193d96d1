"""twolayernet devices."""

from __future__ import annotations

import json
import re

from program import Run, refusal


def test_every_device_or_why_not(run: Run) -> None:
    lines = run("devices").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["cpu", "cuda", "mps", "auto"]
    assert re.search(r"\d threads?$", lines[0])
    for line in lines[1:3]:
        assert "not available: " in line or line.split()[0] == lines[3].split()[1]


def test_json_says_the_same(run: Run) -> None:
    devices = [json.loads(line) for line in run("devices", "--json").stdout.splitlines()]
    assert [d["device"] for d in devices] == ["cpu", "cuda", "mps"]
    assert devices[0]["available"] and sum(d["auto"] for d in devices) == 1
    for device in devices:
        assert device["available"] or device["reason"]


def test_the_rate(run: Run) -> None:
    text = run("devices", "--measure").stdout.splitlines()[0]
    rate = re.search(r": (\S+) GFLOP/s \((\S+) images/s\)$", text)
    assert rate and float(rate[1]) > 0.1 and int(rate[2].replace(",", "")) > 100


def test_wrong_usage(run: Run) -> None:
    refusal(run("devices", "--all", code=64))
