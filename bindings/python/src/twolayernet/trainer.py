"""Training: cross-entropy and SGD with momentum."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from typing import Any, Callable, NamedTuple

from ._arrays import float_rows, label_values
from ._library import (
    ProgressCallback,
    TrainerOptions,
    check,
    int64,
    lib,
    path_bytes,
)
from .dataset import Dataset
from .network import Network


class Progress(NamedTuple):
    """How far training is: epochs count from 1, steps from 0; losses as in the C header."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    mean_loss: float
    rows_done: int


class Trainer:
    """SGD as ``torch.optim.SGD`` defines it, on the mean cross-entropy of shuffled batches.

    Parameters
    ----------
    network : Network
        Trained in place.
    learning_rate, momentum, dampening, weight_decay, nesterov, maximize
        As for ``torch.optim.SGD``.
    batch_size, shuffle, drop_last
        As for ``torch.utils.data.DataLoader``.
    seed : int
        Seeds the order of the batches if the network came from a file; a network that was created goes
        on with its own generator.
    """

    def __init__(
        self,
        network: Network,
        *,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        batch_size: int = 100,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        options = TrainerOptions()
        lib.tln_trainer_options_init(ctypes.byref(options))
        options.learning_rate = learning_rate
        options.momentum = momentum
        options.dampening = dampening
        options.weight_decay = weight_decay
        options.nesterov = bool(nesterov)
        options.maximize = bool(maximize)
        options.batch_size = int64("batch_size", batch_size)
        options.shuffle = bool(shuffle)
        options.drop_last = bool(drop_last)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed is {seed}, which is beyond 64 bits")
        options.seed = seed % 2**64
        handle = ctypes.c_void_p()
        check(lib.tln_trainer_create(network._handle, ctypes.byref(options), ctypes.byref(handle)))
        self._handle = handle
        self.network = network

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            lib.tln_trainer_free(self._handle)

    def fit(
        self, dataset: Dataset, epochs: int = 25, callback: Callable[[Progress], object] | None = None
    ) -> None:
        """Trains for `epochs` more epochs; an epoch left half-way is finished first and counts.

        Other Python threads run meanwhile. Ctrl-C ends the training after its current step and raises
        KeyboardInterrupt; an exception of the callback does the same. The network then holds the last
        finished step, and `fit` may be called again.

        Parameters
        ----------
        callback : callable, optional
            Called with a Progress after every step.
        """
        raised: list[BaseException] = []

        def relay(progress: Any, _: Any) -> int:
            try:
                p = progress.contents
                assert callback is not None
                callback(
                    Progress(p.epoch, p.epochs, p.step, p.steps, p.loss, p.mean_loss, p.rows_done)
                )
            except BaseException as error:  # it comes out of fit
                raised.append(error)
                return 1
            return 0

        relayed = ProgressCallback(relay) if callback else ProgressCallback()
        with _CancelOnInterrupt(self) as interrupt:
            status = lib.tln_trainer_fit(
                self._handle, dataset._handle, int64("epochs", epochs), relayed, None
            )
        if raised:
            raise raised[0]
        if interrupt.happened:
            if status == 0:
                # It came too late for that call; this one takes it, before its first step.
                lib.tln_trainer_fit(self._handle, dataset._handle, 1, ProgressCallback(), None)
            raise KeyboardInterrupt
        check(status)

    def step(self, features: Any, labels: Any) -> float:
        """One step on one batch: features [rows, input_size], labels [rows]. Returns its mean loss."""
        rows = float_rows(features, self.network.input_size)
        classes = label_values(labels, len(rows)).astype("int64", copy=False)
        loss = ctypes.c_float()
        check(
            lib.tln_trainer_step(
                self._handle, rows.ctypes.data, classes.ctypes.data, len(rows), ctypes.byref(loss)
            )
        )
        return loss.value

    def set_learning_rate(self, learning_rate: float) -> None:
        """Takes effect with the next step."""
        check(lib.tln_trainer_set_learning_rate(self._handle, learning_rate))

    @property
    def position(self) -> tuple[int, int]:
        """Finished epochs, and finished steps of the epoch after those."""
        epochs, steps = ctypes.c_int64(), ctypes.c_int64()
        check(lib.tln_trainer_get_position(self._handle, ctypes.byref(epochs), ctypes.byref(steps)))
        return epochs.value, steps.value

    def cancel(self) -> None:
        """Ends a running `fit` with Cancelled after its current step; from any thread."""
        lib.tln_trainer_cancel(self._handle)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything that training needs to go on, as PyTorch reads it too."""
        check(lib.tln_trainer_save(self._handle, path_bytes(path)))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Goes on from such a file, PyTorch's or this library's."""
        check(lib.tln_trainer_load(self._handle, path_bytes(path)))


class _CancelOnInterrupt:
    """Lets Ctrl-C end a training that runs in C.

    Python handles signals only between its own instructions, of which there are none while C runs. So
    the signal's number is written to a pipe at once (signal.set_wakeup_fd), and a thread that waits
    there cancels the training; Python's own handler then raises KeyboardInterrupt as usual.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.happened = False
        self._trainer = trainer
        self._is_needed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )

    def __enter__(self) -> _CancelOnInterrupt:
        if not self._is_needed:
            return self
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._previous = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGINT, self._note)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        return self

    def _note(self, *_: Any) -> None:
        self.happened = True

    def _wait(self) -> None:
        while numbers := os.read(self._reading, 64):
            if signal.SIGINT in numbers:
                self.happened = True
                self._trainer.cancel()

    def __exit__(self, *_: object) -> None:
        if not self._is_needed:
            return
        signal.signal(signal.SIGINT, self._handler)
        signal.set_wakeup_fd(self._previous)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
