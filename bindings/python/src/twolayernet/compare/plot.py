"""The loss curves of two runs, as a PNG."""

from __future__ import annotations

import importlib.util
import pathlib

from .report import Comparison
from .run import Run


def is_possible() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(comparison: Comparison, path: pathlib.Path) -> None:
    """Above, each step of the first epoch; below, each epoch's mean. One curve lies on the other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (steps, epochs) = pyplot.subplots(2, 1, figsize=(7, 6), layout="constrained")

    def curves(run: Run, color: str, width: float, style: str) -> None:
        first = run.losses[: run.steps_per_epoch]
        steps.plot(range(1, len(first) + 1), first, style, color=color, linewidth=width, label=run.name)
        numbers = range(1, run.epochs + 1)
        marker = {"marker": "o", "markersize": 2 + width}
        epochs.plot(numbers, run.mean_losses, style, color=color, linewidth=width, label=run.name, **marker)

    curves(comparison.theirs, "tab:orange", 3, "-")
    curves(comparison.ours, "tab:blue", 1, "-")
    steps.set(xlabel="step of epoch 1", ylabel="loss", yscale="log")
    epochs.set(xlabel="epoch", ylabel="mean loss", yscale="log")
    steps.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
