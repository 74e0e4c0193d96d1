"""The network as an estimator of scikit-learn's (``pip install 'twolayernet[sklearn]'``)."""

from __future__ import annotations

import numbers
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from ._library import real
from .dataset import Dataset
from .network import Network
from .trainer import Progress, Trainer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "TwoLayerNetClassifier needs scikit-learn 1.6 or newer (pip install 'twolayernet[sklearn]'): "
        f"{error}"
    ) from None


class TwoLayerNetClassifier(ClassifierMixin, BaseEstimator):
    """Linear -> ReLU -> Linear, trained with cross-entropy and SGD with momentum.

    Features of uint8 are used as value / 255, as images usually are; all others as float32, as they are.
    Ctrl-C during `fit` raises KeyboardInterrupt and leaves the classifier usable as far as it has come.

    Parameters
    ----------
    hidden_size : int, default 100
    learning_rate, momentum, weight_decay : float, default 0.1, 0.9, 0
    nesterov : bool, default False
        As for ``torch.optim.SGD``.
    batch_size : int, default 100
    epochs : int, default 25
        Of `fit`; with `early_stopping` at most.
    shuffle : bool, default True
        Draw a new order of the samples for each epoch.
    early_stopping : bool, default False
        Keep a part of the samples out of training, stop when the loss on them no longer falls, and go
        back to the parameters for which it was lowest.
    validation_fraction : float, default 0.1
        The part that `early_stopping` keeps out, with about the classes' own shares.
    patience : int, default 10
        Epochs without improvement that `early_stopping` bears.
    warm_start : bool, default False
        Let `fit` go on from the last call's network and momentum, with the same classes. A new
        learning_rate holds from then on; if another parameter of the training was changed, momentum
        begins anew.
    random_state : int, RandomState or None, default None
        An int is the seed itself: the network is ``Network(..., seed=random_state)`` and so PyTorch's
        after ``torch.manual_seed(random_state)``.
    device : {"auto", "cpu", "cuda", "cuda:1", ..., "mps"}, default "auto"
    threads : int, default 0
        As for `Network`. Never changes a result.
    callback : callable, optional
        Called with a `Progress` after every step; what it raises comes out of `fit`.

    Attributes
    ----------
    classes_ : ndarray, [n_classes]
        The labels, sorted.
    loss_curve_ : list of float
        The mean training loss of each epoch.
    loss_ : float
        The last of them.
    validation_scores_, validation_losses_ : list of float
        Accuracy and mean loss on the validation samples after each epoch; with `early_stopping` only.
    best_epoch_ : int
        The epoch whose parameters were kept; with `early_stopping` only.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If the features had names.
    network_ : Network
        The network itself, which counts classes from 0.
    """

    network_: Network
    classes_: npt.NDArray[Any]

    def __init__(
        self,
        hidden_size: int = 100,
        *,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        batch_size: int = 100,
        epochs: int = 25,
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        threads: int = 0,
        callback: Callable[[Progress], object] | None = None,
    ) -> None:
        self.hidden_size = hidden_size
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.nesterov = nesterov
        self.batch_size = batch_size
        self.epochs = epochs
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.threads = threads
        self.callback = callback

    def fit(self, X: Any, y: Any) -> TwoLayerNetClassifier:
        """Trains a new network (with `warm_start`, the last one).

        Parameters
        ----------
        X : array_like, [n_samples, n_features]
            uint8 or float32 whose rows are contiguous are not copied.
        y : array_like, [n_samples]
            Labels of any type.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For wrong shapes or parameters, or when the loss grows beyond all bounds.
        """
        self._check_parameters()
        goes_on = self.warm_start and hasattr(self, "network_")
        if goes_on and self.hidden_size != self.network_.hidden_size:
            raise ValueError(
                f"hidden_size is {self.hidden_size}, but warm_start goes on with a network of "
                f"{self.network_.hidden_size}: set warm_start to False for a new one"
            )
        features, labels = self._validated(X, y, reset=not goes_on)
        if not goes_on:
            self._start(features.shape[1], np.unique(labels))
        indices = self._indices(labels)
        validation = None
        if self.early_stopping:
            try:
                split = train_test_split(
                    np.arange(len(indices)),
                    test_size=self.validation_fraction,
                    random_state=self._seed % 2**32,
                    stratify=indices,
                )
            except ValueError as error:
                raise ValueError(
                    f"early_stopping cannot keep {self.validation_fraction} of the samples out, "
                    f"some of each class: {error}"
                ) from None
            kept, held = (np.sort(part) for part in split)
            validation = Dataset(features[held], indices[held])
            features, indices = features[kept], indices[kept]
            self.validation_scores_: list[float] = []
            self.validation_losses_: list[float] = []
        self._train(Dataset(features, indices), self.epochs, validation)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> TwoLayerNetClassifier:
        """Trains for one more epoch, over these samples, with the momentum of the last call.

        Parameters
        ----------
        X : array_like, [n_samples, n_features]
        y : array_like, [n_samples]
        classes : array_like, optional
            All labels that will ever come; needed at the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As for `fit`; for a label that `classes` has not.
        """
        self._check_parameters()
        is_first = not hasattr(self, "network_")
        if is_first and classes is None:
            raise ValueError("the first call of partial_fit needs classes, all labels that will ever come")
        features, labels = self._validated(X, y, reset=is_first)
        if is_first:
            self._start(features.shape[1], np.unique(classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes are {np.unique(classes)}, but were {self.classes_} before")
        self._train(Dataset(features, self._indices(labels)), 1, None)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable label.

        Parameters
        ----------
        X : array_like, [n_samples, n_features]

        Returns
        -------
        ndarray, [n_samples]
            Of `classes_`.
        """
        features = self._features(X)
        labels: npt.NDArray[Any] = self.classes_[self.network_.predict(features)]
        return labels

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """The probability of each label.

        Parameters
        ----------
        X : array_like, [n_samples, n_features]

        Returns
        -------
        ndarray of float32, [n_samples, n_classes]
            In the order of `classes_`.
        """
        features = self._features(X)
        return self.network_.probabilities(features)

    def _features(self, X: Any) -> npt.NDArray[Any]:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, dtype=[np.float32, np.uint8]))

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        features, labels = validate_data(self, X, y, reset=reset, dtype=[np.float32, np.uint8])
        check_classification_targets(labels)
        return features, labels

    def _indices(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Labels as positions in classes_."""
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown) > 0:
            first = unknown.tolist()[0]
            raise ValueError(f"y contains {first!r}, which is none of the classes {self.classes_}")
        return np.searchsorted(self.classes_, labels).astype(np.int64)

    def _check_parameters(self) -> None:
        """Those that the library does not check itself."""
        for name, least in [("epochs", 0), ("patience", 1)]:
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < least:
                raise ValueError(f"{name} is {value!r}, but must be an integer of at least {least}")
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be callable, not {type(self.callback).__name__}")
        if self.early_stopping and not 0 < real("validation_fraction", self.validation_fraction) < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}, but must be between 0 and 1"
            )

    def _start(self, columns: int, classes: npt.NDArray[Any]) -> None:
        """A new network."""
        if isinstance(self.random_state, numbers.Integral):
            self._seed = int(self.random_state)
        else:
            self._seed = int(check_random_state(self.random_state).randint(2**31))
        self.classes_ = classes
        self.network_ = Network(
            columns,
            self.hidden_size,
            len(classes),
            seed=self._seed,
            device=self.device,
            threads=self.threads,
        )
        self.loss_curve_: list[float] = []
        self.n_iter_ = 0
        self._trainer: Trainer | None = None
        self._options: dict[str, Any] = {}

    def _train(self, dataset: Dataset, epochs: int, validation: Dataset | None) -> None:
        trainer = self._trainer
        options: dict[str, Any] = {
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "nesterov": self.nesterov,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
        }
        # The rest of an epoch that was interrupted belongs to other samples.
        if trainer is None or trainer.position[1] != 0 or options != self._options:
            trainer = Trainer(
                self.network_, learning_rate=self.learning_rate, seed=self._seed, **options
            )
            self._trainer, self._options = trainer, options
        trainer.set_learning_rate(self.learning_rate)
        best_loss, best_state, waited = np.inf, self.network_.state_dict(), 0
        if validation is not None:
            self.best_epoch_ = self.n_iter_
        for _ in range(epochs):
            self.loss_curve_.append(self._epoch(trainer, dataset))
            self.loss_ = self.loss_curve_[-1]
            self.n_iter_ += 1
            if validation is None:
                continue
            result = self.network_.evaluate(validation)
            self.validation_scores_.append(result.accuracy)
            self.validation_losses_.append(result.mean_loss)
            if result.mean_loss < best_loss:
                best_loss, best_state, waited = result.mean_loss, self.network_.state_dict(), 0
                self.best_epoch_ = self.n_iter_
            elif (waited := waited + 1) >= self.patience:
                break
        if validation is not None:
            self.network_.load_state_dict(best_state)
            # Its momentum belongs to other parameters.
            self._trainer = None

    def _epoch(self, trainer: Trainer, dataset: Dataset) -> float:
        """One epoch. Returns its mean loss."""
        mean_loss = 0.0

        def note(progress: Progress) -> None:
            nonlocal mean_loss
            mean_loss = progress.mean_loss
            if self.callback is not None:
                self.callback(progress)

        try:
            trainer.fit(dataset, 1, note)
        except ValueError as error:
            if "not finite" not in str(error):
                raise
            raise ValueError(
                f"{error}: lower learning_rate ({self.learning_rate}), or scale the features, as "
                "sklearn.preprocessing.StandardScaler does"
            ) from None
        return mean_loss
