"""Train and run a two-layer neural network, bit for bit as PyTorch does.

>>> import twolayernet
>>> train = twolayernet.Dataset.open_mnist("data")              # doctest: +SKIP
>>> network = twolayernet.Network(784, 100, 10, seed=0)
>>> twolayernet.Trainer(network).fit(train, epochs=25)          # doctest: +SKIP
>>> network.save("mnist.pth")                                   # doctest: +SKIP

``twolayernet.TwoLayerNetClassifier`` needs scikit-learn, ``twolayernet.plots`` matplotlib,
``Network.to_torch`` and ``from_torch`` PyTorch; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._library import __version__, library_path
from .dataset import Dataset
from .devices import DeviceInfo, describe_device, resolve_device
from .errors import (
    Cancelled,
    ForbiddenFileError,
    InputOutputError,
    InvalidArgumentError,
    MissingFileError,
    OutOfMemoryError,
    TwoLayerNetError,
)
from .network import Evaluation, Network
from .trainer import Progress, Trainer

if TYPE_CHECKING:
    from . import plots as plots
    from .classifier import TwoLayerNetClassifier as TwoLayerNetClassifier

# What is optional is not listed: a star import must work without it.
__all__ = [
    "Cancelled",
    "Dataset",
    "DeviceInfo",
    "Evaluation",
    "ForbiddenFileError",
    "InputOutputError",
    "InvalidArgumentError",
    "MissingFileError",
    "Network",
    "OutOfMemoryError",
    "Progress",
    "Trainer",
    "TwoLayerNetError",
    "__version__",
    "describe_device",
    "library_path",
    "resolve_device",
]


def __getattr__(name: str) -> Any:
    """What needs other packages, imported when it is asked for."""
    if name == "TwoLayerNetClassifier":
        return importlib.import_module(".classifier", __name__).TwoLayerNetClassifier
    if name == "plots":
        return importlib.import_module(".plots", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    own = [name for name in globals() if name.startswith("__")]
    return sorted({*__all__, *own, "TwoLayerNetClassifier", "plots"})
