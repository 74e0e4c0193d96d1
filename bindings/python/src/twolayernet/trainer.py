"""Training: cross-entropy and SGD with momentum."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, NamedTuple

from ._arrays import float_rows, label_values
from ._handle import Handle, Owner
from ._interruption import Interruption
from ._library import ProgressCallback, TrainerOptions, check, flag, int64, lib, path_bytes, real, seed64
from .dataset import Dataset
from .network import Network, handle_of


class Progress(NamedTuple):
    """How far training is.

    Attributes
    ----------
    epoch : int
        From 1, counted over all calls of `Trainer.fit`.
    epochs : int
        The last epoch of this call.
    step : int
        From 0, within the epoch.
    steps : int
        In an epoch.
    loss : float
        Mean over this batch, before the step.
    mean_loss : float
        Mean of `loss` over the batches of this epoch so far.
    rows_done : int
        In this epoch, this batch included.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    mean_loss: float
    rows_done: int


class Trainer(Owner):
    """SGD as ``torch.optim.SGD`` defines it, on the mean cross-entropy of shuffled batches.

    Trainers can be pickled and copied with their network, and go on exactly where they were.

    Parameters
    ----------
    network : Network
        Trained in place.
    learning_rate, momentum, dampening, weight_decay : float, default 0.1, 0.9, 0, 0
    nesterov, maximize : bool, default False
        As for ``torch.optim.SGD``.
    batch_size : int, default 100
    shuffle : bool, default True
    drop_last : bool, default False
        As for ``torch.utils.data.DataLoader``.
    seed : int, default 0
        Seeds the order of the batches if the network came from a file; a network that was created goes
        on with its own generator.

    Attributes
    ----------
    network : Network

    Raises
    ------
    TypeError, ValueError
        For options of a wrong type or out of range.
    """

    network: Network

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
        if not isinstance(network, Network):
            raise TypeError(f"network must be a twolayernet.Network, not {type(network).__name__}")
        options = TrainerOptions()
        lib.tln_trainer_options_init(ctypes.byref(options))
        options.learning_rate = real("learning_rate", learning_rate)
        options.momentum = real("momentum", momentum)
        options.dampening = real("dampening", dampening)
        options.weight_decay = real("weight_decay", weight_decay)
        options.nesterov = flag("nesterov", nesterov)
        options.maximize = flag("maximize", maximize)
        options.batch_size = int64("batch_size", batch_size)
        options.shuffle = flag("shuffle", shuffle)
        options.drop_last = flag("drop_last", drop_last)
        options.seed = seed64(seed)
        handle = ctypes.c_void_p()
        check(lib.tln_trainer_create(network._handle, ctypes.byref(options), ctypes.byref(handle)))
        self._open_handle = Handle(handle, "tln_trainer_free")
        # What a file of the trainer's does not hold, for its copies.
        self._unsaved = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last, "seed": seed}
        self.network = network

    def __reduce__(self) -> tuple[Any, ...]:
        import tempfile  # here, because it takes longer than all the rest of the package

        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "trainer.pth")
            self.save(path)
            with open(path, "rb") as file:
                state = file.read()
        return _restored, (type(self), self.network, self._unsaved, state)

    def fit(
        self, dataset: Dataset, epochs: int = 25, callback: Callable[[Progress], object] | None = None
    ) -> None:
        """Trains for `epochs` more epochs; an epoch left half-way is finished first and counts.

        Other Python threads run meanwhile. Ctrl-C ends the training after its current step and raises
        KeyboardInterrupt; an exception of the callback does the same and comes out of `fit`. The network
        then holds the last finished step, and `fit` may be called again. A handler of the program's own
        for SIGINT or SIGTERM runs in the same way, and training goes on if it raises nothing.

        Parameters
        ----------
        dataset : Dataset
            With labels, each below output_size, and input_size columns.
        epochs : int, default 25
            At least 0.
        callback : callable, optional
            Called with a `Progress` after every step. It may save the trainer, set the learning rate and
            predict with the network; it may not train or change it. From a GPU the calls come in groups,
            up to about 50 ms after their steps; what they find is that of their own step, which costs
            the device the steps after it.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, or if the loss of a batch is not finite.
        Cancelled
            After `cancel`.
        """
        data = handle_of(dataset)
        epochs = int64("epochs", epochs)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        last = self.position[0] + epochs
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

        relayed = ProgressCallback() if callback is None else ProgressCallback(relay)
        while True:
            with Interruption(self.cancel) as interruption:
                status = lib.tln_trainer_fit(self._handle, data, epochs, relayed, None)
            if raised:
                raise raised[0]
            if not interruption.happened:
                return check(status)
            if status == 0:
                # The signal came too late for that call; this one takes it, before its first step.
                lib.tln_trainer_fit(self._handle, data, 1, ProgressCallback(), None)
            interruption.deliver()
            epochs = last - self.position[0]

    def step(self, features: Any, labels: Any) -> float:
        """One step on one batch of your own; does not count towards epochs.

        Parameters
        ----------
        features : array_like, [rows, input_size]
            As for `Dataset`.
        labels : array_like of integers, [rows]
            Each below output_size.

        Returns
        -------
        float
            The mean loss of the batch before the step.

        Raises
        ------
        TypeError, ValueError
            For arrays of a wrong dtype, shape or range.
        """
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
        """Takes effect with the next step.

        Parameters
        ----------
        learning_rate : float
            Finite and not negative, else ValueError; TypeError for what is no number.
        """
        rate = real("learning_rate", learning_rate)
        check(lib.tln_trainer_set_learning_rate(self._handle, rate))

    @property
    def position(self) -> tuple[int, int]:
        """Finished epochs, and finished steps of the epoch after those; from any thread, also in training."""
        epochs, steps = ctypes.c_int64(), ctypes.c_int64()
        check(lib.tln_trainer_get_position(self._handle, ctypes.byref(epochs), ctypes.byref(steps)))
        return epochs.value, steps.value

    def cancel(self) -> None:
        """Ends a running `fit` with Cancelled after its current step; from any thread.

        If none is running, the next one ends before its first step.
        """
        lib.tln_trainer_cancel(self._handle)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything that training needs to go on: parameters, momentum, generator, position.

        Parameters
        ----------
        path : path
            Ends in ``.pth`` or ``.pt``; PyTorch reads it too.

        Raises
        ------
        OSError
            If the file cannot be written.
        TwoLayerNetError
            For any other ending.
        """
        check(lib.tln_trainer_save(self._handle, path_bytes(path)))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Goes on from such a file, PyTorch's or this library's.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            If the file cannot be read.
        TwoLayerNetError
            If it is no such file, or its sizes are not the network's.
        """
        check(lib.tln_trainer_load(self._handle, path_bytes(path)))

    def __repr__(self) -> str:
        if self._open_handle is None:
            return "Trainer(closed)"
        epochs, steps = self.position
        return f"Trainer({self.network!r}, epochs={epochs}, steps={steps})"


def _restored(kind: type[Trainer], network: Network, options: dict[str, Any], state: bytes) -> Trainer:
    """A pickled trainer."""
    import tempfile

    trainer = kind(network, **options)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "trainer.pth")
        with open(path, "wb") as file:
            file.write(state)
        trainer.load(path)
    return trainer
