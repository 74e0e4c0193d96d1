"""The PyTorch side: the article's scripts, run as programs of their own in an empty directory."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from . import data
from .run import Run, sha256

HERE = pathlib.Path(__file__).parent
SCRIPTS = HERE / "article_train.py", HERE / "article_test.py"


def is_installed() -> bool:
    """Whether the scripts can run here."""
    return all(importlib.util.find_spec(name) for name in ("torch", "torchvision"))


def run(directory: pathlib.Path, seed: int, epochs: int, output: pathlib.Path, threads: int = 1) -> Run:
    """Trains and tests with the scripts on the data in `directory`; mnist.pth goes to `output`."""
    with tempfile.TemporaryDirectory() as place:
        work = pathlib.Path(place)
        data.unpack(directory, work / "data")
        printed = ""
        records: list[dict[str, Any]] = []
        for script in SCRIPTS:
            arguments = ["--seed", str(seed), "--epochs", str(epochs), "--threads", str(threads)]
            arguments += ["--record", str(work / "record.json")]
            printed += _start([str(HERE / "observed.py"), str(script), *arguments], work, threads)
            records.append(json.loads((work / "record.json").read_text()))
        output.mkdir(parents=True, exist_ok=True)
        shutil.move(work / "mnist.pth", output / "mnist.pth")
    (output / "output.txt").write_text(printed)

    training = records[0]
    losses = np.array(training["losses"], np.float32)
    steps = len(losses) // epochs
    hashes, means = Run.summarize(losses, steps)
    plural = "" if training["threads"] == 1 else "s"
    return Run(
        name=f"PyTorch {training['torch']}, {training['threads']} thread{plural}",
        lines=printed.splitlines(),
        losses=losses,
        steps_per_epoch=steps,
        losses_sha256=hashes,
        mean_losses=means,
        file_sha256=sha256((output / "mnist.pth").read_bytes()),
        seconds_per_epoch=training["seconds_between_first_and_last_step"] / max(len(losses) - 1, 1) * steps,
        file=output / "mnist.pth",
    )


def _start(command: list[str], directory: pathlib.Path, threads: int) -> str:
    """Runs a Python program in a directory; its standard output."""
    # The kernels whose arithmetic is the library's, on processors that would take wider ones; and the
    # cpu, whose arithmetic is the one that is compared.
    environment = {"ATEN_CPU_CAPABILITY": "avx2", "CUDA_VISIBLE_DEVICES": "-1", **os.environ}
    environment["OMP_NUM_THREADS"] = str(threads)
    result = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"the article's script failed in PyTorch:\n{result.stderr.strip()}")
    return result.stdout
