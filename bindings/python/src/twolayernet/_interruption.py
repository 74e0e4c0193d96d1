"""How signals reach a training that runs in C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import TracebackType
from typing import Any, Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Ends a call of the library's when a signal comes for which Python has a handler.

    Python runs handlers only between its own instructions, of which there are none while C runs. So the
    signal's number is written to a pipe at once (signal.set_wakeup_fd), and a thread that waits there
    cancels the training; `deliver` then runs the handlers, of which Ctrl-C's raises KeyboardInterrupt.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._received: list[int] = []
        self._handlers: dict[int, Callable[[int, Any], Any]] = {}
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler

    @property
    def happened(self) -> bool:
        """Whether a signal came."""
        return bool(self._received)

    def deliver(self) -> None:
        """Runs the handlers of the signals that came."""
        for number in self._received:
            self._handlers[number](number, None)

    def __enter__(self) -> Interruption:
        if not self._handlers:
            return self
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._previous = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self._handlers:
            # The thread below takes note of it.
            signal.signal(number, lambda number, frame: None)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        return self

    def _wait(self) -> None:
        while numbers := os.read(self._reading, 64):
            received = [number for number in numbers if number in self._handlers]
            if received and not self._received:
                self._cancel()
            self._received += received
            if self._previous >= 0:
                # Whoever listened there before, such as an event loop, hears of it too.
                with contextlib.suppress(OSError):
                    os.write(self._previous, numbers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._handlers:
            return
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
