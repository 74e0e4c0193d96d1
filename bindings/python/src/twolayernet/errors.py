"""What the library reports as exceptions."""

from __future__ import annotations

import errno
import os
from typing import Final

CANCELLED: Final = 8


class TwoLayerNetError(RuntimeError):
    """A call of the library failed.

    Attributes
    ----------
    status : int
        The number of the C interface's ``tln_status``.
    status_name : str
        Its name, such as ``"TLN_BAD_FILE"``.
    """

    def __init__(self, message: str, status: int, status_name: str) -> None:
        super().__init__(message)
        self.status = status
        self.status_name = status_name

    def __reduce__(self) -> tuple[type[TwoLayerNetError], tuple[str, int, str]]:
        return type(self), (str(self), self.status, self.status_name)


class InvalidArgumentError(TwoLayerNetError, ValueError):
    """A number, size or array that the library refuses; also a ValueError."""


class InputOutputError(TwoLayerNetError, OSError):
    """The operating system refused a file; also an OSError."""


class MissingFileError(InputOutputError, FileNotFoundError):
    """A file, or the directory it should come into, is not there; also a FileNotFoundError."""

    errno = errno.ENOENT


class ForbiddenFileError(InputOutputError, PermissionError):
    """A file or directory may not be read or written; also a PermissionError."""

    errno = errno.EACCES


class OutOfMemoryError(TwoLayerNetError, MemoryError):
    """Memory, or another resource of the system, ran out; also a MemoryError. Not a GPU's own memory."""


class Cancelled(TwoLayerNetError):
    """Training was ended by ``Trainer.cancel``; the network keeps the last finished step."""


# What the operating system says at the end of a message, where Python has a class of its own for it.
BY_REASON: Final[dict[str, type[InputOutputError]]] = {
    os.strerror(errno.ENOENT): MissingFileError,
    os.strerror(errno.EACCES): ForbiddenFileError,
}

# Statuses that Python has a word for; the others are TwoLayerNetError itself.
BY_STATUS: Final[dict[int, type[TwoLayerNetError]]] = {
    1: InvalidArgumentError,
    2: InputOutputError,
    7: OutOfMemoryError,
    CANCELLED: Cancelled,
}
