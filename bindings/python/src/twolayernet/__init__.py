"""Train and run a two-layer neural network, bit for bit as PyTorch does.

>>> import twolayernet
>>> train = twolayernet.Dataset.open_mnist("data")              # doctest: +SKIP
>>> network = twolayernet.Network(784, 100, 10, seed=0)
>>> twolayernet.Trainer(network).fit(train, epochs=25)          # doctest: +SKIP
>>> network.save("mnist.pth")                                   # doctest: +SKIP
"""

from ._library import __version__, library_path
from .dataset import Dataset
from .devices import DeviceInfo, describe_device, resolve_device
from .errors import Cancelled, TwoLayerNetError
from .network import Evaluation, Network
from .trainer import Progress, Trainer

__all__ = [
    "Cancelled",
    "Dataset",
    "DeviceInfo",
    "Evaluation",
    "Network",
    "Progress",
    "Trainer",
    "TwoLayerNetError",
    "__version__",
    "describe_device",
    "library_path",
    "resolve_device",
]
