"""What is run on a card, on an imaginary one: the comparisons with the cpu, the report, and the bundle with both
for a machine without Swift."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest


def test_the_report_about_a_card(root: pathlib.Path, library: pathlib.Path, driver: pathlib.Path, tmp_path: pathlib.Path) -> None:
    report = tmp_path / "CUDA.md"

    def run(directory: pathlib.Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, root / "Tests/Benchmarks/cuda.py", "--quick", "--output", report]
        environment = os.environ | {"LD_LIBRARY_PATH": str(directory), "TWOLAYERNET_LIBRARY": str(library)}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    (tmp_path / "libcuda.so.1").write_text("not a library")
    done = run(tmp_path)
    assert done.returncode == 1 and "There is no card" in done.stderr and not report.exists()
    done = run(driver)
    assert done.returncode == 0, done.stderr
    text = report.read_text()
    assert "| Imaginary GPU 0, compute capability 5.0 |" in text and "| for CUDA 12.2 |" in text
    assert re.search(r"conformance.py`\) \| all \d\d the same bits \|", text)
    assert "cpu and cuda | the same bytes |" in text and "no results of PyTorch" in text


# A Python that prints what PyTorch would, and fails before the last result.
PYTORCH = """#!/bin/sh
echo '{"version": "9.9"}'
echo '{"tuned fused": 1e6}'
echo '{"products": 1e-9}'
exit 3
"""


def test_a_machine_without_swift_has_all_it_needs(root: pathlib.Path, driver: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The bundle, with nothing around it but NumPy."""
    subprocess.run(["make", "-o", "lib", "cuda-bundle"], cwd=root, check=True, capture_output=True)
    subprocess.run(["tar", "-xzf", root / "dist/twolayernet-cuda.tar.gz"], cwd=tmp_path, check=True)
    script = tmp_path / "twolayernet-cuda/Tests/Benchmarks/cuda.py"
    pytorch = tmp_path / "python"
    pytorch.write_text(PYTORCH)
    pytorch.chmod(0o755)
    # As if nothing else were installed.
    program = f"import runpy, sys; sys.modules['pytest'] = None; sys.argv = sys.argv[1:]; runpy.run_path({str(script)!r}, run_name='__main__')"
    command = [sys.executable, "-c", program, script, "--quick", "--device", "cuda:0", "--pytorch", pytorch]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment | {"LD_LIBRARY_PATH": str(driver)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    text = (script.parent / "CUDA.md").read_text()
    assert "the same bits" in text and "noise of MNIST's size" in text and "PyTorch 9.9" in text
    assert "5 times faster than the tuned loop" in text and "script" not in text and "**missed**" in text
    assert "PyTorch ended with status 3" in done.stderr


@pytest.mark.parametrize("kind", ["logits", "fit", "evaluate"])
def test_a_device_that_differs_is_noticed(
    root: pathlib.Path, library: pathlib.Path, driver: pathlib.Path, kind: str
) -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import conformance, twolayernet
owner = twolayernet.Trainer if sys.argv[2] == "fit" else twolayernet.Network
right = getattr(owner, sys.argv[2])
def wrong(self, *arguments):
    network = getattr(self, "network", self)
    if network.device == "cuda" and sys.argv[2] == "fit":
        network.set_parameter("layers.2.bias", network.parameter("layers.2.bias") + 1e-3)
    result = right(self, *arguments)
    if network.device != "cuda" or sys.argv[2] == "fit":
        return result
    return result * 1.0000002 if sys.argv[2] == "logits" else result._replace(mean_loss=result.mean_loss + 1e-15)
setattr(owner, sys.argv[2], wrong)
count, different = conformance.check("cuda", quick=True)
print(count, len(different))
"""
    environment = os.environ | {"LD_LIBRARY_PATH": str(driver), "TWOLAYERNET_LIBRARY": str(library)}
    command = [sys.executable, "-c", program, root / "Tests/Devices", kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, different = map(int, done.stdout.split())
    # All that train; those that predict or evaluate as well.
    assert count == 28 and different >= (28 if kind == "fit" else 20)
