"""Rows of features with labels."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import feature_rows, label_values
from ._handle import Handle, Owner
from ._library import DatasetOptions, check, int64, lib, path_bytes
from .errors import TwoLayerNetError

if TYPE_CHECKING:
    import numpy.typing as npt

_FEATURE_TYPES = {np.dtype(np.uint8): 0, np.dtype(np.float32): 1}
_LABEL_TYPES = {np.dtype(np.uint8): 0, np.dtype(np.int32): 1, np.dtype(np.int64): 2}


class Dataset(Owner):
    """Rows of features, with or without labels; never changes after its creation.

    Datasets can be pickled and copied: the values travel.

    Parameters
    ----------
    features : array_like, [rows, ...]
        uint8 is used as value / 255, as torchvision's ToTensor does; every other type of number as the
        float32 that it is. Finite. Axes after the first are flattened. A NumPy array, or anything that
        shares its memory by ``__array_interface__`` or DLPack (such as a tensor of PyTorch's on the CPU).
    labels : array_like of integers, [rows], optional
        Classes, counted from 0, of any integer type, or bools.
    copy : bool, default False
        uint8 and float32 arrays whose rows are contiguous are borrowed, not copied: do not change them
        while the dataset is in use, or have them copied. Others are copied once in any case.

    Raises
    ------
    TypeError
        For features that are no real numbers; labels that are no integers; arrays on a GPU.
    ValueError
        For arrays of a wrong shape, labels that are negative or above 2**24, features that are not
        finite.
    """

    def __init__(self, features: Any, labels: Any = None, *, copy: bool = False) -> None:
        rows = feature_rows(features)
        options = DatasetOptions()
        lib.tln_dataset_options_init(ctypes.byref(options))
        options.features = rows.ctypes.data
        options.feature_type = _FEATURE_TYPES[rows.dtype]
        options.rows, options.columns = rows.shape
        options.row_stride_bytes = rows.strides[0] if rows.shape[0] > 1 else 0
        options.copy = bool(copy)
        if labels is not None:
            values = label_values(labels, rows.shape[0])
            options.labels = values.ctypes.data
            options.label_type = _LABEL_TYPES[values.dtype]
        handle = ctypes.c_void_p()
        check(lib.tln_dataset_create(ctypes.byref(options), ctypes.byref(handle)))
        self._adopt(handle, None if copy else rows)

    @classmethod
    def open_idx(
        cls, images: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
    ) -> Dataset:
        """Opens IDX files, the format of MNIST, raw or compressed with gzip (told by content).

        Parameters
        ----------
        images : path
            Unsigned bytes in two or more dimensions; those after the first are flattened.
        labels : path, optional
            Unsigned bytes in one dimension.

        Returns
        -------
        Dataset

        Raises
        ------
        OSError
            For a file that cannot be read.
        TwoLayerNetError
            For one that is not what it should be.
        """
        handle = ctypes.c_void_p()
        label_path = None if labels is None else path_bytes(labels)
        check(lib.tln_dataset_open_idx(path_bytes(images), label_path, ctypes.byref(handle)))
        return cls._from_pointer(handle)

    @classmethod
    def open_mnist(cls, directory: str | os.PathLike[str], train: bool = True) -> Dataset:
        """Opens MNIST, or a set with the same file names.

        Parameters
        ----------
        directory : path
            Holds the files, or a ``MNIST/raw`` with them, as torchvision leaves it.
        train : bool, default True
            The training set, or the test set.

        Returns
        -------
        Dataset

        Raises
        ------
        OSError, TwoLayerNetError
            As for `open_idx`.
        """
        handle = ctypes.c_void_p()
        check(lib.tln_dataset_open_mnist(path_bytes(directory), int(train), ctypes.byref(handle)))
        return cls._from_pointer(handle)

    @classmethod
    def _from_pointer(cls, pointer: ctypes.c_void_p) -> Dataset:
        dataset = cls.__new__(cls)
        dataset._adopt(pointer, None)
        return dataset

    def _adopt(self, pointer: ctypes.c_void_p, borrowed: npt.NDArray[Any] | None) -> None:
        self._open_handle = _DatasetHandle(pointer, borrowed)
        rows, columns = ctypes.c_int64(), ctypes.c_int64()
        check(lib.tln_dataset_shape(self._handle, ctypes.byref(rows), ctypes.byref(columns)))
        self._shape = (rows.value, columns.value)

    def __len__(self) -> int:
        return self._shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    def features(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """The float32 that training sees.

        Parameters
        ----------
        start, stop : int, optional
            Rows, as in ``array[start:stop]``.

        Returns
        -------
        ndarray of float32, [stop - start, columns]
            A copy.
        """
        first, count = self._range(start, stop)
        values = np.empty((count, self._shape[1]), np.float32)
        if count > 0:
            check(lib.tln_dataset_read(self._handle, first, count, values.ctypes.data, None))
        return values

    def labels(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.int64]:
        """The labels.

        Parameters
        ----------
        start, stop : int, optional
            Rows, as in ``array[start:stop]``.

        Returns
        -------
        ndarray of int64, [stop - start]
            A copy.

        Raises
        ------
        ValueError
            If the dataset has none.
        """
        first, count = self._range(start, stop)
        values = np.empty(count, np.int64)
        if count > 0:
            check(lib.tln_dataset_read(self._handle, first, count, None, values.ctypes.data))
        return values

    def __reduce__(self) -> tuple[Any, ...]:
        handle = self._handle
        assert isinstance(handle, _DatasetHandle)
        features = self.features() if handle.borrowed is None else handle.borrowed
        try:
            labels = self.labels()
        except TwoLayerNetError:
            labels = None
        return type(self), (features, labels)

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        end = None if stop is None else int64("stop", stop)
        first, last, _ = slice(int64("start", start), end).indices(self._shape[0])
        return first, max(last - first, 0)

    def __repr__(self) -> str:
        return f"Dataset(rows={self._shape[0]}, columns={self._shape[1]})"


class _DatasetHandle(Handle):
    """Keeps the array alive that the dataset borrows."""

    def __init__(self, pointer: ctypes.c_void_p, borrowed: npt.NDArray[Any] | None) -> None:
        super().__init__(pointer, "tln_dataset_free")
        self.borrowed = borrowed
