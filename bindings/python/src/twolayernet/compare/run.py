"""What is known about one training and its test, whoever ran it."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib

import numpy as np
import numpy.typing as npt

Losses = npt.NDArray[np.float32]


def sha256(data: bytes) -> str:
    """The hash by which results are recorded."""
    return hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class Run:
    """A training of some epochs, and the test of what it left behind.

    A recorded run knows the losses of its first epoch only, of the others their hashes.
    """

    name: str
    lines: list[str]
    losses: Losses
    steps_per_epoch: int
    losses_sha256: list[str]
    mean_losses: list[float]
    file_sha256: str
    seconds_per_epoch: float
    note: str = ""
    file: pathlib.Path | None = None

    @staticmethod
    def summarize(losses: Losses, steps_per_epoch: int) -> tuple[list[str], list[float]]:
        """For each epoch, the hash of its losses and their mean."""
        epochs = losses.astype("<f4").reshape(-1, steps_per_epoch)
        return [sha256(row.tobytes()) for row in epochs], [float(row.mean(dtype=float)) for row in epochs]

    @property
    def epochs(self) -> int:
        """How many there were."""
        return len(self.losses_sha256)

    @property
    def is_complete(self) -> bool:
        """Whether the losses of all steps are known."""
        return len(self.losses) == self.epochs * self.steps_per_epoch


def printed_lines(losses: Losses, steps_per_epoch: int) -> list[str]:
    """What the article's training script prints, given its losses."""
    lines = []
    running_loss = 0.0
    for number, loss in enumerate(losses.tolist()):
        epoch, step = divmod(number, steps_per_epoch)
        running_loss = loss if step == 0 else running_loss + loss
        if step % 600 == 0:
            lines.append(f"epoch={epoch + 1}, loss={running_loss:.5f}")
            running_loss = 0.0
    return [*lines, "Finished"]


@dataclasses.dataclass
class Difference:
    """Where two runs part: at a step of an epoch, or only known to be in that epoch. From 1."""

    epoch: int
    step: int | None

    def __str__(self) -> str:
        return f"epoch {self.epoch}" + (f", step {self.step}" if self.step else "")


def first_difference(a: Run, b: Run) -> Difference | None:
    """The first step whose losses are not the same bits; None if there is none."""
    known = min(len(a.losses), len(b.losses))
    differing = np.flatnonzero(a.losses[:known].view(np.uint32) != b.losses[:known].view(np.uint32))
    if len(differing):
        epoch, step = divmod(int(differing[0]), a.steps_per_epoch)
        return Difference(epoch + 1, step + 1)
    for epoch, (ours, theirs) in enumerate(zip(a.losses_sha256, b.losses_sha256), 1):
        if ours != theirs:
            return Difference(epoch, None)
    return None
