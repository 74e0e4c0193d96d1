"""Arrays of the caller's as the library takes them: without a copy where their layout allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# DLPack's numbers of the devices whose memory NumPy can read: the CPU, and memory pinned for a GPU.
_HOST_DEVICES = (1, 3)


def as_array(values: Any, name: str = "the array") -> npt.NDArray[Any]:
    """A NumPy view of anything with the array interface or DLPack, else a new array."""
    if isinstance(values, np.ndarray):
        if np.ma.is_masked(values):
            raise ValueError(f"some elements of {name} are masked: fill them, as with .filled(0)")
        return values
    if hasattr(values, "__dlpack__") and not hasattr(values, "__array_interface__"):
        return _from_dlpack(values, name)
    try:
        return np.asarray(values)
    except ValueError:
        # NumPy's text for nested lists of different lengths speaks of "inhomogeneous shape".
        raise ValueError(f"{name} must be a rectangular array: every row as long as the others") from None


def _from_dlpack(values: Any, name: str) -> npt.NDArray[Any]:
    if hasattr(values, "detach"):
        values = values.detach()
    if hasattr(values, "resolve_neg"):
        # DLPack cannot say that a tensor of PyTorch's is to be read with the opposite sign.
        values = values.resolve_neg()
    try:
        is_on_host = values.__dlpack_device__()[0] in _HOST_DEVICES
        array = np.from_dlpack(values) if is_on_host else None
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        array = _from_array_method(values)
        if array is None:
            raise TypeError(f"{name} cannot be read through DLPack: {error}") from None
    if array is None:
        raise TypeError(f"{name} must be in the memory of the CPU: move it there first, as with .cpu()")
    return array


def _from_array_method(values: Any) -> npt.NDArray[Any] | None:
    """What a type gives NumPy by itself: older PyTorch has bools, but not through DLPack."""
    if not hasattr(values, "__array__"):
        return None
    try:
        return np.asarray(values)
    except Exception:  # whatever that type says
        return None


def feature_rows(values: Any) -> npt.NDArray[Any]:
    """Features as [rows, columns] of uint8 or float32 whose elements within a row are adjacent.

    Axes after the first are flattened. Such arrays are not copied; others once, to float32.
    """
    array = as_array(values, "features")
    if array.dtype.kind not in "uifb":
        raise TypeError(f"features must be numbers, not {_kind(values, array)}")
    if array.ndim < 2:
        one = ": for a single sample reshape(1, -1)" if array.ndim == 1 and array.size > 0 else ""
        raise ValueError(f"features must have a row for each sample, but their shape is {array.shape}{one}")
    if 0 in array.shape:
        raise ValueError(f"features are empty: their shape is {array.shape}")
    if array.dtype != np.uint8 and array.dtype != np.float32:
        array = packed_floats(array)
    array = array.reshape(array.shape[0], -1)
    size = array.itemsize
    is_direct = (
        (array.strides[1] == size or array.shape[1] == 1)
        and (array.strides[0] >= size * array.shape[1] or array.shape[0] == 1)
        and array.strides[0] % size == 0
        and array.flags.aligned
    )
    return array if is_direct else np.ascontiguousarray(array)


def _kind(values: Any, array: npt.NDArray[Any]) -> str:
    """What values are that NumPy makes no numbers of, and what makes numbers of them."""
    if array.dtype.kind != "O":
        return str(array.dtype)
    if array.ndim > 0:
        return "Python objects: if each of them is a number, astype('float32') makes an array of numbers"
    advice = ": .toarray() makes an array of it" if hasattr(values, "toarray") else ""
    return f"{type(values).__name__}{advice}"


def packed_floats(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Row-major float32; what is too large for it becomes infinite, which the library refuses."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def float_rows(values: Any, columns: int) -> npt.NDArray[np.float32]:
    """Packed float32 rows for a network of `columns` inputs; uint8 becomes value / 255."""
    array = feature_rows(values)
    if array.shape[1] != columns:
        raise ValueError(f"features have {array.shape[1]} columns, but the network has {columns} inputs")
    if array.dtype == np.uint8:
        quotients: npt.NDArray[np.float32] = np.divide(array, np.float32(255), dtype=np.float32)
        return quotients
    return np.ascontiguousarray(array)


def label_values(labels: Any, rows: int) -> npt.NDArray[Any]:
    """Labels as a packed array of uint8, int32 or int64; other integers, and bools, become int64."""
    array = as_array(labels, "labels")
    if array.shape != (rows,):
        advice = ""
        if array.shape == (rows, 1):
            advice = ": reshape(-1) makes them so"
        elif array.ndim == 2 and len(array) == rows:
            advice = ": argmax(axis=1) makes them so, if they are one-hot"
        raise ValueError(f"labels must have the shape ({rows},), one for each row, not {array.shape}{advice}")
    if array.dtype.kind not in "uib":
        advice = ""
        if array.dtype.kind == "f":
            advice = ": astype(int) makes them so"
        elif array.dtype.kind in "US":
            advice = ": numpy.unique(labels, return_inverse=True)[1] numbers them"
        raise TypeError(f"labels must be integers, not {_kind(labels, array)}{advice}")
    if int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"the label {array.max()} is too large")
    if array.min() < 0:
        raise ValueError(f"labels must not be negative, but one is {array.min()}")
    if array.dtype not in (np.dtype(np.uint8), np.dtype(np.int32)):
        array = array.astype(np.int64, copy=False)
    return np.ascontiguousarray(array)
