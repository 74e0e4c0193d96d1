"""The network: Linear, ReLU, Linear."""

from __future__ import annotations

import ctypes
import os
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._arrays import as_array, float_rows
from ._library import EvaluationStruct, NetworkOptions, check, int64, lib, path_bytes, sized
from .dataset import Dataset
from .devices import device_name, device_number


class Evaluation(NamedTuple):
    """How a network does on a dataset: accuracy is 0 to 1, mean_loss the mean cross-entropy."""

    rows: int
    correct: int
    accuracy: float
    mean_loss: float


def _options(device: str, threads: int) -> NetworkOptions:
    options = NetworkOptions()
    lib.tln_network_options_init(ctypes.byref(options))
    options.device = device_number(device)
    threads = int64("threads", threads)
    if not 0 <= threads <= 1024:
        raise ValueError(f"threads is {threads}, but must be 0 (choose) to 1024")
    options.threads = threads
    return options


class Network:
    """Linear -> ReLU -> Linear, initialised as PyTorch does it after ``torch.manual_seed(seed)``.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        The sizes of the layers, 1 to 2**24 each.
    seed : int
        As for ``torch.manual_seed``; a negative one counts as its two's complement.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" takes cuda if available, else mps, else cpu.
    threads : int
        The most threads the cpu uses; 0 leaves the choice to the library. Never changes a result.
    """

    PARAMETERS = ("layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias")

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
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed is {seed}, which is beyond 64 bits")
        options.seed = seed % 2**64
        handle = ctypes.c_void_p()
        check(lib.tln_network_create(ctypes.byref(options), ctypes.byref(handle)))
        self._adopt(handle)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "auto", threads: int = 0) -> Network:
        """A network from a ``.pth`` of PyTorch's or a ``.safetensors``; no code in it is ever run."""
        handle = ctypes.c_void_p()
        options = _options(device, threads)
        check(lib.tln_network_load(path_bytes(path), ctypes.byref(options), ctypes.byref(handle)))
        return cls._from_handle(handle)

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "auto", threads: int = 0) -> Network:
        """The same from the contents of such a file."""
        handle = ctypes.c_void_p()
        options = _options(device, threads)
        check(lib.tln_network_load_memory(data, len(data), ctypes.byref(options), ctypes.byref(handle)))
        return cls._from_handle(handle)

    @classmethod
    def _from_handle(cls, handle: ctypes.c_void_p) -> Network:
        network = cls.__new__(cls)
        network._adopt(handle)
        return network

    def _adopt(self, handle: ctypes.c_void_p) -> None:
        self._handle = handle
        sizes = [ctypes.c_int64() for _ in range(3)]
        check(lib.tln_network_sizes(handle, *[ctypes.byref(size) for size in sizes]))
        self.input_size, self.hidden_size, self.output_size = (size.value for size in sizes)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            lib.tln_network_free(self._handle)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters: ``.pth`` and ``.pt`` as ``torch.save(model.state_dict())`` does,
        byte for byte; ``.safetensors``."""
        check(lib.tln_network_save(self._handle, path_bytes(path)))

    @property
    def device(self) -> str:
        """The device the network lives on."""
        number = ctypes.c_int32()
        check(lib.tln_network_get_device(self._handle, ctypes.byref(number)))
        return device_name(number.value)

    def parameter_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter of PyTorch's name."""
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
        """A copy of a parameter."""
        values = np.empty(self.parameter_shape(name), np.float32)
        check(
            lib.tln_network_get_parameter(self._handle, name.encode(), values.ctypes.data, values.size)
        )
        return values

    def set_parameter(self, name: str, values: Any) -> None:
        """Replaces a parameter; the shape must be its own, the values finite."""
        array = as_array(values)
        if array.shape != self.parameter_shape(name):
            raise ValueError(f"{name} has the shape {self.parameter_shape(name)}, not {array.shape}")
        array = np.ascontiguousarray(array, np.float32)
        check(lib.tln_network_set_parameter(self._handle, name.encode(), array.ctypes.data, array.size))

    def state_dict(self) -> dict[str, npt.NDArray[np.float32]]:
        """All parameters by name."""
        return {name: self.parameter(name) for name in self.PARAMETERS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces all parameters."""
        if set(state) != set(self.PARAMETERS):
            raise KeyError(f"the keys must be {', '.join(self.PARAMETERS)}, not {', '.join(state)}")
        for name, values in state.items():
            self.set_parameter(name, values)

    def logits(self, features: Any) -> npt.NDArray[np.float32]:
        """The logits [rows, output_size] of features [rows, input_size]."""
        rows = float_rows(features, self.input_size)
        values = np.empty((len(rows), self.output_size), np.float32)
        check(lib.tln_network_logits(self._handle, rows.ctypes.data, len(rows), values.ctypes.data))
        return values

    def probabilities(self, features: Any) -> npt.NDArray[np.float32]:
        """The softmax of the logits [rows, output_size]."""
        rows = float_rows(features, self.input_size)
        values = np.empty((len(rows), self.output_size), np.float32)
        check(lib.tln_network_probabilities(self._handle, rows.ctypes.data, len(rows), values.ctypes.data))
        return values

    def predict(self, features: Any) -> npt.NDArray[np.int64]:
        """The index of each row's largest logit [rows]."""
        rows = float_rows(features, self.input_size)
        labels = np.empty(len(rows), np.int64)
        check(lib.tln_network_predict(self._handle, rows.ctypes.data, len(rows), labels.ctypes.data))
        return labels

    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Accuracy and mean loss over a dataset with labels."""
        result = sized(EvaluationStruct)
        check(lib.tln_network_evaluate(self._handle, dataset._handle, ctypes.byref(result)))
        return Evaluation(result.rows, result.correct, result.accuracy, result.mean_loss)

    def __repr__(self) -> str:
        return f"Network({self.input_size}, {self.hidden_size}, {self.output_size}, device={self.device!r})"
