"""The network: Linear, ReLU, Linear."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._arrays import as_array, float_rows, packed_floats
from ._handle import Handle, Owner
from ._library import EvaluationStruct, NetworkOptions, check, int64, lib, path_bytes, seed64, sized
from .dataset import Dataset
from .devices import device_and_index, device_name

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


class Evaluation(NamedTuple):
    """How a network does on a dataset: accuracy is 0 to 1, mean_loss the mean cross-entropy."""

    rows: int
    correct: int
    accuracy: float
    mean_loss: float


def _options(device: str, threads: int) -> NetworkOptions:
    options = NetworkOptions()
    lib.tln_network_options_init(ctypes.byref(options))
    options.device, options.device_index = device_and_index(device)
    threads = int64("threads", threads)
    if not 0 <= threads <= 1024:
        raise ValueError(f"threads is {threads}, but must be 0 (choose) to 1024")
    options.threads = threads
    return options


class Network(Owner):
    """Linear -> ReLU -> Linear, initialised as PyTorch does it after ``torch.manual_seed(seed)``.

    Any number of threads may predict with one network while nobody trains it. Networks can be pickled
    and copied: the parameters, the device and the number of threads travel.

    Parameters
    ----------
    input_size, hidden_size, output_size : int, default 784, 100, 10
        The sizes of the layers, 1 to 2**24 each.
    seed : int, default 0
        As for ``torch.manual_seed``; a negative one counts as its two's complement.
    device : {"auto", "cpu", "cuda", "cuda:1", ..., "mps"}, default "auto"
        "cuda:1" is the second of several. "auto" takes cuda if available, else mps, else cpu; in this
        version never mps, whose engine has not been run on Apple hardware yet.
    threads : int, default 0
        The most threads the cpu uses; 0 leaves the choice to the library. Never changes a result.

    Attributes
    ----------
    input_size, hidden_size, output_size : int

    Raises
    ------
    TypeError
        For a number that is no integer.
    ValueError
        For a size, seed or number of threads out of range, or an unknown device.
    TwoLayerNetError
        For a device that is not available; the message says why.
    """

    PARAMETERS = ("layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias")

    input_size: int
    hidden_size: int
    output_size: int

    def __init__(
        self,
        input_size: int = 784,
        hidden_size: int = 100,
        output_size: int = 10,
        *,
        seed: int = 0,
        device: str = "auto",
        threads: int = 0,
    ) -> None:
        options = _options(device, threads)
        options.input_size = int64("input_size", input_size)
        options.hidden_size = int64("hidden_size", hidden_size)
        options.output_size = int64("output_size", output_size)
        options.seed = seed64(seed)
        handle = ctypes.c_void_p()
        check(lib.tln_network_create(ctypes.byref(options), ctypes.byref(handle)))
        self._adopt(handle, device, threads)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "auto", threads: int = 0) -> Network:
        """Reads a network from a file. No code in it is ever run.

        Parameters
        ----------
        path : path
            PyTorch's ``.pth`` of any version (a state_dict, or a checkpoint that contains one) or
            ``.safetensors``, told by content.
        device, threads
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        OSError
            For a file that cannot be read.
        TwoLayerNetError
            For one that holds anything but two Linear layers that fit.
        """
        handle = ctypes.c_void_p()
        options = _options(device, threads)
        check(lib.tln_network_load(path_bytes(path), ctypes.byref(options), ctypes.byref(handle)))
        return cls._from_pointer(handle, device, threads)

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "auto", threads: int = 0) -> Network:
        """Reads a network from the contents of such a file; otherwise as `load`.

        Parameters
        ----------
        data : bytes-like
        device, threads
            As for `Network`.

        Returns
        -------
        Network
        """
        try:
            data = bytes(memoryview(data))
        except TypeError:
            raise TypeError(f"data must be the bytes of a file, not {type(data).__name__}") from None
        handle = ctypes.c_void_p()
        options = _options(device, threads)
        check(lib.tln_network_load_memory(data, len(data), ctypes.byref(options), ctypes.byref(handle)))
        return cls._from_pointer(handle, device, threads)

    @classmethod
    def from_torch(cls, module: torch.nn.Module, *, device: str = "auto", threads: int = 0) -> Network:
        """Copies the parameters of a PyTorch module: two Linear layers with bias, a ReLU between.

        Parameters
        ----------
        module : torch.nn.Module
            Such as the article's TwoLayerNet or a Sequential; on any device, of any floating dtype.
        device, threads
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ImportError
            Without PyTorch.
        TypeError
            For something that is no module.
        ValueError
            For a module that holds other layers.
        """
        from ._torch import parameters_of

        weight = parameters_of(module)
        hidden_size, input_size = weight["layers.0.weight"].shape
        network = cls(input_size, hidden_size, len(weight["layers.2.bias"]), device=device, threads=threads)
        network.load_state_dict(weight)
        return network

    def to_torch(self) -> torch.nn.Module:
        """Copies the parameters into a new PyTorch module.

        Returns
        -------
        torch.nn.Module
            Flatten, then ``layers``: Sequential(Linear, ReLU, Linear), so that its ``state_dict`` has the
            names of ``mnist.pth``; float32 on the CPU, in training mode.

        Raises
        ------
        ImportError
            Without PyTorch.
        """
        from ._torch import TwoLayerNet

        return TwoLayerNet.of(self.state_dict())

    @classmethod
    def _from_pointer(cls, pointer: ctypes.c_void_p, device: str, threads: int) -> Network:
        network = cls.__new__(cls)
        network._adopt(pointer, device, threads)
        return network

    def _adopt(self, pointer: ctypes.c_void_p, device: str, threads: int) -> None:
        self._open_handle = Handle(pointer, "tln_network_free")
        self._requested = {"device": device, "threads": threads}
        sizes = [ctypes.c_int64() for _ in range(3)]
        check(lib.tln_network_sizes(self._handle, *[ctypes.byref(size) for size in sizes]))
        self.input_size, self.hidden_size, self.output_size = (size.value for size in sizes)

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = (self.input_size, self.hidden_size, self.output_size)
        return _restored, (type(self), sizes, self._requested, self.state_dict())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters, replacing the file as a whole.

        Parameters
        ----------
        path : path
            ``.pth`` or ``.pt``: byte for byte what ``torch.save(model.state_dict(), path)`` of PyTorch
            2.1.2 writes; ``.safetensors``.

        Raises
        ------
        OSError
            If the file cannot be written.
        TwoLayerNetError
            For any other ending.
        """
        check(lib.tln_network_save(self._handle, path_bytes(path)))

    @property
    def device(self) -> str:
        """The device the network lives on: "cpu", "cuda" or "mps"."""
        number = ctypes.c_int32()
        check(lib.tln_network_get_device(self._handle, ctypes.byref(number)))
        return device_name(number.value)

    def parameter_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter.

        Parameters
        ----------
        name : str
            PyTorch's name, one of `PARAMETERS`.

        Returns
        -------
        tuple of int
            [hidden, input], [hidden], [output, hidden] or [output].

        Raises
        ------
        KeyError
            For any other name.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "layers.0.weight": (self.hidden_size, self.input_size),
            "layers.0.bias": (self.hidden_size,),
            "layers.2.weight": (self.output_size, self.hidden_size),
            "layers.2.bias": (self.output_size,),
        }
        if name not in shapes:
            raise KeyError(f"{name!r} is no parameter; they are {', '.join(shapes)}")
        return shapes[name]

    def parameter(self, name: str) -> npt.NDArray[np.float32]:
        """A copy of a parameter.

        Parameters
        ----------
        name : str
            One of `PARAMETERS`, else KeyError.

        Returns
        -------
        ndarray of float32
            In its `parameter_shape`.
        """
        values = np.empty(self.parameter_shape(name), np.float32)
        check(
            lib.tln_network_get_parameter(self._handle, name.encode(), values.ctypes.data, values.size)
        )
        return values

    def set_parameter(self, name: str, values: Any) -> None:
        """Replaces a parameter.

        Parameters
        ----------
        name : str
            One of `PARAMETERS`, else KeyError.
        values : array_like of numbers
            In its `parameter_shape`, finite.

        Raises
        ------
        TypeError, ValueError
            For anything else.
        """
        array = self._parameter_values(name, values)
        check(lib.tln_network_set_parameter(self._handle, name.encode(), array.ctypes.data, array.size))

    def _parameter_values(self, name: str, values: Any) -> npt.NDArray[np.float32]:
        """Values that the parameter can take."""
        array = as_array(values, name)
        if array.shape != self.parameter_shape(name):
            raise ValueError(f"{name} has the shape {self.parameter_shape(name)}, not {array.shape}")
        if array.dtype.kind not in "uif":
            raise TypeError(f"{name} must be numbers, not {array.dtype}")
        return packed_floats(array)

    def state_dict(self) -> dict[str, npt.NDArray[np.float32]]:
        """Copies of all parameters by name.

        Returns
        -------
        dict of str to ndarray of float32
            With the names of PyTorch's ``state_dict``, in its order.
        """
        return {name: self.parameter(name) for name in self.PARAMETERS}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replaces all parameters.

        Parameters
        ----------
        state : mapping of str to array_like
            As `state_dict` gives it; tensors of PyTorch's are fine.

        Raises
        ------
        KeyError
            If the names are not exactly `PARAMETERS`.
        TypeError, ValueError
            As for `set_parameter`; then no parameter has been replaced.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping of names to arrays, not {type(state).__name__}")
        if set(state) != set(self.PARAMETERS):
            names = ", ".join(map(str, state)) or "none"
            raise KeyError(f"the keys must be {', '.join(self.PARAMETERS)}, not {names}")
        arrays = {name: self._parameter_values(name, state[name]) for name in self.PARAMETERS}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite everywhere")
        for name, array in arrays.items():
            self.set_parameter(name, array)

    def logits(self, features: Any) -> npt.NDArray[np.float32]:
        """The outputs before the softmax.

        Parameters
        ----------
        features : array_like, [rows, input_size]
            As for `Dataset`. Packed float32 is not copied; everything else once.

        Returns
        -------
        ndarray of float32, [rows, output_size]

        Raises
        ------
        TypeError, ValueError
            As for `Dataset`, or if the number of columns is another one.
        """
        rows = float_rows(features, self.input_size)
        values = np.empty((len(rows), self.output_size), np.float32)
        check(lib.tln_network_logits(self._handle, rows.ctypes.data, len(rows), values.ctypes.data))
        return values

    def probabilities(self, features: Any) -> npt.NDArray[np.float32]:
        """The softmax of the logits.

        Parameters
        ----------
        features : array_like, [rows, input_size]
            As for `logits`.

        Returns
        -------
        ndarray of float32, [rows, output_size]
            Each row sums to 1.
        """
        rows = float_rows(features, self.input_size)
        values = np.empty((len(rows), self.output_size), np.float32)
        check(lib.tln_network_probabilities(self._handle, rows.ctypes.data, len(rows), values.ctypes.data))
        return values

    def predict(self, features: Any) -> npt.NDArray[np.int64]:
        """The index of each row's largest logit, the lowest if there are several.

        Parameters
        ----------
        features : array_like, [rows, input_size]
            As for `logits`.

        Returns
        -------
        ndarray of int64, [rows]
        """
        rows = float_rows(features, self.input_size)
        labels = np.empty(len(rows), np.int64)
        check(lib.tln_network_predict(self._handle, rows.ctypes.data, len(rows), labels.ctypes.data))
        return labels

    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Accuracy and mean loss over a dataset.

        Parameters
        ----------
        dataset : Dataset
            With labels, each below output_size, and input_size columns, else ValueError.

        Returns
        -------
        Evaluation
        """
        result = sized(EvaluationStruct)
        check(lib.tln_network_evaluate(self._handle, handle_of(dataset), ctypes.byref(result)))
        return Evaluation(result.rows, result.correct, result.accuracy, result.mean_loss)

    def __repr__(self) -> str:
        if self._open_handle is None:
            return "Network(closed)"
        return f"Network({self.input_size}, {self.hidden_size}, {self.output_size}, device={self.device!r})"


def handle_of(dataset: Dataset) -> Handle:
    """The handle of an argument that must be a Dataset."""
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a twolayernet.Dataset, not {type(dataset).__name__}")
    return dataset._handle


def _restored(
    kind: type[Network], sizes: tuple[int, int, int], requested: dict[str, Any], state: dict[str, Any]
) -> Network:
    """A pickled network."""
    network = kind(*sizes, **requested)
    network.load_state_dict(state)
    return network
