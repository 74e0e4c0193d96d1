"""PyTorch's side where PyTorch is not installed: results recorded from it, in recorded.json.

Tests/Golden/record_comparison.py of the repository makes that file. A run of fewer epochs is the
beginning of a longer one, so a recording of 25 epochs serves for all numbers up to 25.
"""

from __future__ import annotations

import base64
import json
import pathlib
from typing import Any

import numpy as np

from .run import Run

FILE = pathlib.Path(__file__).parent / "recorded.json"


def recordings() -> list[dict[str, Any]]:
    """All of them."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text())["recordings"]
    return found


def run(identity: str, seed: int, epochs: int) -> Run | None:
    """What PyTorch did on the data with this identity; None if that is not recorded."""
    for recording in recordings():
        is_of_this = recording["data_sha256"] == identity and recording["seed"] == seed
        if is_of_this and epochs <= len(recording["epochs"]):
            return _beginning(recording, epochs)
    return None


def choices(identity: str) -> str:
    """A sentence about what is recorded for some data."""
    fitting = [one for one in recordings() if one["data_sha256"] == identity]
    if not fitting:
        names = " and ".join(sorted({one["data"] for one in recordings()}))
        return f"results of PyTorch are recorded for {names} only, which this data is not"
    seeds = ", ".join(f"{one['seed']} (up to {len(one['epochs'])} epochs)" for one in fitting)
    return f"results of PyTorch on {fitting[0]['data']} are recorded for the seeds {seeds}"


def _beginning(recording: dict[str, Any], count: int) -> Run:
    epochs = recording["epochs"][:count]
    losses = np.frombuffer(base64.b64decode(recording["first_epoch_losses"]), "<f4").astype(np.float32)
    rows = recording["test_images"]
    accuracy = 100 * epochs[-1]["correct"] / rows
    lines = [f"epoch={number}, loss={epoch['printed']}" for number, epoch in enumerate(epochs, 1)]
    return Run(
        name=f"PyTorch {recording['torch']}, 1 thread, recorded",
        lines=[
            *lines,
            "Finished",
            "cpu",
            f"Accuracy of the network on the {rows} test images: {accuracy:.2f} %",
        ],
        losses=losses,
        steps_per_epoch=len(losses),
        losses_sha256=[epoch["losses_sha256"] for epoch in epochs],
        mean_losses=[epoch["mean_loss"] for epoch in epochs],
        file_sha256=epochs[-1]["file_sha256"],
        seconds_per_epoch=recording["seconds_per_epoch"],
        note=f"recorded on {recording['machine']}",
    )
