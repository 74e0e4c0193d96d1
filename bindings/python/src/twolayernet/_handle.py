"""Ownership of the library's handles: each is freed once, when nobody uses it any more."""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TypeVar

from ._library import lib

Self = TypeVar("Self", bound="Owner")


class Handle:
    """One handle. A call that is under way holds it too, so it cannot be freed below that call."""

    def __init__(self, pointer: ctypes.c_void_p, free: str) -> None:
        # What ctypes passes for this object.
        self._as_parameter_ = pointer
        self._free = getattr(lib, free)

    def __del__(self) -> None:
        self._free(self._as_parameter_)


class Owner:
    """Base of the classes that own a handle: they can be closed, and are context managers."""

    _open_handle: Handle | None = None

    @property
    def _handle(self) -> Handle:
        handle = self._open_handle
        if handle is None:
            raise ValueError(f"this {type(self).__name__} has been closed")
        return handle

    def close(self) -> None:
        """Frees the memory now instead of with the last reference; any later use is a ValueError.

        A call that another thread is inside of ends first, and frees it then.
        """
        self._open_handle = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
