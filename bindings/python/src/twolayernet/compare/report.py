"""Two runs side by side: a table, and the same in a form for programs."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from .. import Network
from .run import Difference, Run, first_difference

# Of a long stretch of equal lines, this many are shown at each end.
SHOWN = 2


@dataclasses.dataclass
class Comparison:
    """What PyTorch did (`theirs`) and what the library did (`ours`)."""

    theirs: Run
    ours: Run

    @property
    def difference(self) -> Difference | None:
        """The first step at which the losses part."""
        return first_difference(self.ours, self.theirs)

    @property
    def is_same_file(self) -> bool:
        """What cmp of the two mnist.pth says."""
        return self.ours.file_sha256 == self.theirs.file_sha256

    @property
    def is_same(self) -> bool:
        """Lines, losses and file: everything."""
        return self.ours.lines == self.theirs.lines and self.difference is None and self.is_same_file

    def distance(self) -> float | None:
        """The largest difference of two weights, if both files are here."""
        if not (self.ours.file and self.theirs.file):
            return None
        a, b = Network.load(self.ours.file), Network.load(self.theirs.file)
        return max(float(np.abs(a.parameter(name) - b.parameter(name)).max()) for name in Network.PARAMETERS)

    def table(self) -> str:
        """Markdown."""
        theirs, ours = self.theirs, self.ours
        rows: list[tuple[str, ...]] = [("", theirs.name, ours.name, ""), *self._lines()]
        difference = self.difference
        known = "" if theirs.is_complete else " (first epoch one by one, the others by their hash)"
        steps = [f"{run.epochs * run.steps_per_epoch}" for run in (theirs, ours)]
        parting = f"part at {difference}" if difference else f"the same losses, to the bit{known}"
        rows.append(("steps", *steps, parting))
        distance = None if self.is_same_file else self.distance()
        far = "" if distance is None else f"; weights differ by up to {distance:.2g}"
        hashes = [f"`{run.file_sha256[:16]}…`" for run in (theirs, ours)]
        bytes_differ = "the same bytes" if self.is_same_file else f"other bytes{far}"
        rows.append(("mnist.pth, SHA-256", *hashes, bytes_differ))
        seconds = [f"{run.seconds_per_epoch:.3g}" for run in (theirs, ours)]
        times = f"{theirs.seconds_per_epoch / ours.seconds_per_epoch:.0f} times faster"
        rows.append(("seconds an epoch", *seconds, f"{times}; {theirs.note}" if theirs.note else times))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        cells = [[cell.ljust(width) for cell, width in zip(row, widths)] for row in rows]
        text = ["| " + " | ".join(row) + " |" for row in cells]
        text.insert(1, "| " + " | ".join("-" * max(width, 3) for width in widths) + " |")
        return "\n".join(text) + "\n"

    def _lines(self) -> list[tuple[str, str, str, str]]:
        """The printed lines; stretches of equal ones are shortened."""
        pairs = itertools.zip_longest(self.theirs.lines, self.ours.lines, fillvalue="")
        numbered = [(str(number), *pair) for number, pair in enumerate(pairs, 1)]
        rows: list[tuple[str, str, str, str]] = []
        for is_equal, group in itertools.groupby(numbered, lambda row: row[1] == row[2]):
            stretch = [(f"line {row[0]}", row[1], row[2], "" if is_equal else "differs") for row in group]
            if is_equal and len(stretch) > 3 * SHOWN + 1:
                hidden = len(stretch) - 3 * SHOWN
                stretch[SHOWN : -2 * SHOWN] = [("…", "", "", f"{hidden} more lines, the same")]
            rows += stretch
        return rows

    def json(self) -> dict[str, Any]:
        """For programs."""
        difference = self.difference

        def side(run: Run) -> dict[str, Any]:
            return {
                "name": run.name,
                "lines": run.lines,
                "mean_losses": run.mean_losses,
                "file_sha256": run.file_sha256,
                "seconds_per_epoch": run.seconds_per_epoch,
            }

        return {
            "same": self.is_same,
            "same_file": self.is_same_file,
            "first_difference": None if difference is None else dataclasses.asdict(difference),
            "pytorch": side(self.theirs),
            "twolayernet": side(self.ours),
        }
