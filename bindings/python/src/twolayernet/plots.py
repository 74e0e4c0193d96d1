"""Pictures of a training and of a network. Needs matplotlib (``pip install 'twolayernet[plots]'``).

Every function draws with ``matplotlib.pyplot`` unless it is given axes, shows nothing by itself, and
returns what it drew on.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._arrays import as_array
from .dataset import Dataset
from .network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .classifier import TwoLayerNetClassifier

try:
    import matplotlib.pyplot as plt
except ImportError as error:
    raise ImportError(f"plots need matplotlib (pip install 'twolayernet[plots]'): {error}") from None

__all__ = ["confusion", "curves", "mistakes", "weights"]


def curves(history: TwoLayerNetClassifier | Mapping[str, Sequence[float]] | str | os.PathLike[str]) -> Figure:
    """Draws losses and accuracies over the epochs.

    Parameters
    ----------
    history : TwoLayerNetClassifier, mapping of str to sequence of float, or path
        A fitted classifier; or one number an epoch by name, where the names that contain "loss" are drawn
        as losses and the others as accuracies (0 to 1); or a file that ``twolayernet train --log`` wrote.

    Returns
    -------
    Figure
        With axes for the losses and, if there are any, for the accuracies.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    series = {name: values for name, values in _series(history).items() if len(values) > 0}
    losses = {name: values for name, values in series.items() if "loss" in name}
    accuracies = {name: values for name, values in series.items() if "loss" not in name}
    groups = [(what, group) for what, group in [("loss", losses), ("accuracy", accuracies)] if group]
    if not groups:
        raise ValueError("there is no finished epoch to draw")
    figure: Figure
    figure, all_axes = plt.subplots(
        1, len(groups), figsize=(5.5 * len(groups), 4), squeeze=False, layout="constrained"
    )
    for axes, (what, group) in zip(all_axes[0], groups):
        for name, values in group.items():
            axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
        axes.set(xlabel="epoch", ylabel=what)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if what == "accuracy":
            axes.yaxis.set_major_formatter(_percent)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _percent(value: float, _: Any) -> str:
    return f"{100 * value:.4g} %"


def _series(history: Any) -> Mapping[str, Sequence[float]]:
    if isinstance(history, Mapping):
        return history
    if isinstance(history, (str, os.PathLike)):
        return _logged(history)
    if not hasattr(history, "loss_curve_"):
        raise TypeError("history must be a fitted classifier, a mapping, or the path of a log")
    return {
        "training loss": history.loss_curve_,
        "validation loss": getattr(history, "validation_losses_", []),
        "validation accuracy": getattr(history, "validation_scores_", []),
    }


def _logged(path: str | os.PathLike[str]) -> dict[str, list[float]]:
    """The curves in a log of the command line's: one JSON object a line."""
    names = {
        "loss": "training loss",
        "validation_loss": "validation loss",
        "test_loss": "test loss",
        "validation_accuracy": "validation accuracy",
        "test_accuracy": "test accuracy",
    }
    series: dict[str, list[float]] = {name: [] for name in names.values()}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                event = json.loads(line)
                if event["event"] == "epoch":
                    for key in names.keys() & event.keys():
                        series[names[key]].append(math.nan if event[key] is None else float(event[key]))
            except (ValueError, TypeError, KeyError):
                raise ValueError(f"line {number} of {os.fspath(path)} is not of a training log") from None
    return series


def confusion(
    labels: Any, predicted: Any, *, classes: Sequence[Any] | None = None, ax: Axes | None = None
) -> Axes:
    """Draws how often each class was taken for each other.

    Parameters
    ----------
    labels, predicted : array_like of integers or of text, [rows]
        What the rows are, and what they were taken for; integers count classes from 0.
    classes : sequence, optional
        The classes in the order in which to draw them: names of the integers, or all the texts.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        For labels that are neither integers nor text.
    ValueError
        For labels of different shapes, negative ones, or such as `classes` has no name for.
    """
    actual, answered = as_array(labels, "labels"), as_array(predicted, "predicted")
    if actual.shape != answered.shape or actual.ndim != 1 or len(actual) == 0:
        raise ValueError(
            f"labels and predicted must have one shape [rows], not {actual.shape} and {answered.shape}"
        )
    names, actual, answered = _counted(actual, answered, classes)
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, (actual, answered), 1)
    # Colours are shares of each row, so that rare classes show as well as frequent ones.
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    if ax is None:
        size = max(4.0, 0.5 * len(names) + 1)
        ax = plt.subplots(figsize=(size, size), layout="constrained")[1]
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(matrix > 0):
        colour = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=8)
    ax.set(xlabel="predicted", ylabel="label")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    accuracy = np.trace(matrix) / matrix.sum()
    ax.set_title(f"{100 * accuracy:.2f} % of {matrix.sum()} right")
    return ax


def _counted(
    actual: npt.NDArray[Any], answered: npt.NDArray[Any], classes: Sequence[Any] | None
) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Names of the classes, and labels that count them from 0."""
    both = np.concatenate([actual, answered])
    if both.dtype.kind in "US" or (both.dtype.kind == "O" and all(isinstance(label, str) for label in both)):
        known = np.unique(both.astype(str)).tolist() if classes is None else [str(name) for name in classes]
        unknown = set(both.astype(str).tolist()) - set(known)
        if unknown:
            raise ValueError(f"there is a label {min(unknown)!r}, which is none of the classes {known}")
        indices = np.array([known.index(str(label)) for label in both], np.int64)
        return known, indices[: len(actual)], indices[len(actual) :]
    if actual.dtype.kind not in "uib" or answered.dtype.kind not in "uib":
        raise TypeError(
            f"labels and predicted must be integers or text, not {actual.dtype} and {answered.dtype}"
        )
    if both.min() < 0:
        raise ValueError("labels must not be negative")
    count = int(both.max()) + 1
    if classes is not None and len(classes) < count:
        raise ValueError(f"there are {count} classes, but {len(classes)} names of classes")
    names = [str(name) for name in (range(count) if classes is None else classes)]
    return names, actual.astype(np.int64), answered.astype(np.int64)


def weights(
    network: Network | TwoLayerNetClassifier, shape: tuple[int, int] | None = None, *, count: int = 100
) -> Figure:
    """Draws the weights of the first layer as images, one for each hidden unit.

    Parameters
    ----------
    network : Network or TwoLayerNetClassifier
    shape : (int, int), optional
        Rows and columns of an image; by default a square.
    count : int, default 100
        Of the units, at most; the first ones.

    Returns
    -------
    Figure
        Blue lowers a unit, red raises it, white does neither; all units on one scale.

    Raises
    ------
    ValueError
        If the inputs do not make an image of that shape.
    """
    network = _network(network)
    height, width = _image_shape(network.input_size, shape)
    values = network.parameter("layers.0.weight")[: max(count, 1)]
    # A few extreme weights would leave the others pale.
    limit = float(np.quantile(np.abs(values), 0.995)) or 1.0
    figure, cells = _grid(len(values), height / width, 0.8)
    for cell, value in zip(cells, values):
        cell.imshow(value.reshape(height, width), cmap="RdBu_r", vmin=-limit, vmax=limit)
    return figure


def mistakes(
    network: Network | TwoLayerNetClassifier,
    dataset: Dataset,
    shape: tuple[int, int] | None = None,
    *,
    count: int = 20,
) -> Figure:
    """Draws the images that the network is most wrong about: those first that it is surest of.

    Parameters
    ----------
    network : Network or TwoLayerNetClassifier
    dataset : Dataset
        With labels.
    shape : (int, int), optional
        Rows and columns of an image; by default a square.
    count : int, default 20
        Of the images, at most.

    Returns
    -------
    Figure
        Each image with its label, what it was taken for, and how sure the network was.

    Raises
    ------
    ValueError
        If the dataset has no labels or does not fit the network or the shape.
    """
    network = _network(network)
    height, width = _image_shape(network.input_size, shape)
    features, labels = dataset.features(), dataset.labels()
    probabilities = network.probabilities(features)
    predicted = probabilities.argmax(axis=1)
    sureness = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-sureness[wrong], kind="stable")][: max(count, 1)]
    figure, cells = _grid(len(worst), height / width, 1.4)
    for cell, row in zip(cells, worst):
        cell.imshow(features[row].reshape(height, width), cmap="gray_r")
        cell.set_title(f"{labels[row]} as {predicted[row]}, {100 * sureness[row]:.1f} %", fontsize=8)
    if len(worst) == 0:
        figure.text(0.5, 0.5, "no mistakes", ha="center", va="center")
    return figure


def _network(network: Any) -> Network:
    network = getattr(network, "network_", network)
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network or a fitted classifier, not {type(network).__name__}")
    return network


def _image_shape(size: int, shape: tuple[int, int] | None) -> tuple[int, int]:
    if shape is None:
        side = math.isqrt(size)
        if side * side != size:
            raise ValueError(f"{size} inputs make no square image: say its shape")
        return side, side
    height, width = shape
    if height < 1 or width < 1 or height * width != size:
        raise ValueError(f"{size} inputs make no image of {height} x {width}")
    return height, width


def _grid(count: int, aspect: float, inches: float) -> tuple[Figure, Sequence[Axes]]:
    """Cells for `count` images, about as many beside as below each other; bare of axes."""
    columns = max(1, math.ceil(math.sqrt(count * max(aspect, 0.1))))
    rows = max(1, math.ceil(count / columns))
    figure, cells = plt.subplots(
        rows,
        columns,
        figsize=(inches * columns, inches * aspect * rows + 0.25 * (inches > 1) * rows),
        squeeze=False,
        layout="constrained",
    )
    flat: npt.NDArray[Any] = cells.ravel()
    for cell in flat:
        cell.set_axis_off()
    return figure, list(flat)
