"""What the library reports as exceptions."""

from __future__ import annotations

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


class Cancelled(TwoLayerNetError):
    """Training was ended by ``Trainer.cancel``; the network keeps the last finished step."""
