"""Rows of features with labels."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import feature_rows, label_values
from ._library import DatasetOptions, check, int64, lib, path_bytes

_FEATURE_TYPES = {np.dtype(np.uint8): 0, np.dtype(np.float32): 1}
_LABEL_TYPES = {np.dtype(np.uint8): 0, np.dtype(np.int32): 1, np.dtype(np.int64): 2}


class Dataset:
    """Rows of features, with or without labels; never changes after its creation.

    Parameters
    ----------
    features : array_like, [rows, ...]
        uint8 (used as value / 255, as ToTensor does) or floating point (float32, finite). Axes after
        the first are flattened. uint8 and float32 arrays whose rows are contiguous are borrowed, not
        copied: do not change them while the dataset is in use.
    labels : array_like of integers, [rows], optional
        Classes, counted from 0.

    Raises
    ------
    TypeError, ValueError
        For arrays of a wrong dtype or shape, negative labels.
    TwoLayerNetError
        For features that are not finite, labels above 2**24.
    """

    def __init__(self, features: Any, labels: Any = None) -> None:
        rows = feature_rows(features)
        options = DatasetOptions()
        lib.tln_dataset_options_init(ctypes.byref(options))
        options.features = rows.ctypes.data
        options.feature_type = _FEATURE_TYPES[rows.dtype]
        options.rows, options.columns = rows.shape
        options.row_stride_bytes = rows.strides[0] if rows.shape[0] > 1 else 0
        if labels is not None:
            values = label_values(labels, rows.shape[0])
            options.labels = values.ctypes.data
            options.label_type = _LABEL_TYPES[values.dtype]
        handle = ctypes.c_void_p()
        check(lib.tln_dataset_create(ctypes.byref(options), ctypes.byref(handle)))
        self._adopt(handle, rows)

    @classmethod
    def open_idx(
        cls, images: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
    ) -> Dataset:
        """A dataset from IDX files, raw or compressed with gzip."""
        handle = ctypes.c_void_p()
        label_path = None if labels is None else path_bytes(labels)
        check(lib.tln_dataset_open_idx(path_bytes(images), label_path, ctypes.byref(handle)))
        return cls._from_handle(handle)

    @classmethod
    def open_mnist(cls, directory: str | os.PathLike[str], train: bool = True) -> Dataset:
        """MNIST, or a set with the same file names, from a directory or its ``MNIST/raw``."""
        handle = ctypes.c_void_p()
        check(lib.tln_dataset_open_mnist(path_bytes(directory), int(train), ctypes.byref(handle)))
        return cls._from_handle(handle)

    @classmethod
    def _from_handle(cls, handle: ctypes.c_void_p) -> Dataset:
        dataset = cls.__new__(cls)
        dataset._adopt(handle, None)
        return dataset

    def _adopt(self, handle: ctypes.c_void_p, borrowed: npt.NDArray[Any] | None) -> None:
        self._handle = handle
        self._borrowed = borrowed
        rows, columns = ctypes.c_int64(), ctypes.c_int64()
        check(lib.tln_dataset_shape(handle, ctypes.byref(rows), ctypes.byref(columns)))
        self._shape = (rows.value, columns.value)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            lib.tln_dataset_free(self._handle)

    def __len__(self) -> int:
        return self._shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    def features(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Rows start ... stop - 1 as the float32 that training sees: [rows, columns]."""
        first, count = self._range(start, stop)
        values = np.empty((count, self._shape[1]), np.float32)
        check(lib.tln_dataset_read(self._handle, first, count, values.ctypes.data, None))
        return values

    def labels(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.int64]:
        """The labels of rows start ... stop - 1. TwoLayerNetError if there are none."""
        first, count = self._range(start, stop)
        values = np.empty(count, np.int64)
        check(lib.tln_dataset_read(self._handle, first, count, None, values.ctypes.data))
        return values

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        first, last, _ = slice(int64("start", start), stop).indices(self._shape[0])
        return first, max(last - first, 0)

    def __repr__(self) -> str:
        return f"Dataset(rows={self._shape[0]}, columns={self._shape[1]})"
