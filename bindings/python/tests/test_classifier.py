"""The estimator: scikit-learn's own checks, and what they don't look at."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import twolayernet
from twolayernet import Dataset, Network, Trainer

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from twolayernet import TwoLayerNetClassifier


@parametrize_with_checks(
    [
        TwoLayerNetClassifier(),
        TwoLayerNetClassifier(hidden_size=16, epochs=10, early_stopping=True, validation_fraction=0.3),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)).astype(np.float32)
    labels = np.where(features[:, 0] + features[:, 1] ** 2 > 0.5, "yes", "no")
    return features, labels


def classifier(**options):
    return TwoLayerNetClassifier(**{"hidden_size": 20, "epochs": 15, "random_state": 0, **options})


def test_it_is_the_network_of_that_seed(problem):
    features, labels = problem
    own = classifier(random_state=7, epochs=3).fit(features, labels)
    network = Network(8, 20, 2, seed=7)
    Trainer(network).fit(Dataset(features, (labels == "yes").astype(int)), 3)
    for name, values in network.state_dict().items():
        assert np.array_equal(own.network_.parameter(name), values)
    assert list(own.classes_) == ["no", "yes"]
    assert np.array_equal(own.predict(features), own.classes_[network.predict(features)])
    assert own.predict_proba(features).dtype == np.float32
    assert len(own.loss_curve_) == own.n_iter_ == 3
    assert own.loss_ == own.loss_curve_[-1] < own.loss_curve_[0]
    assert classifier().fit(features, labels).score(features, labels) > 0.8


def test_images_of_bytes_are_scaled_and_not_copied(problem):
    features = np.random.default_rng(1).integers(0, 256, (200, 30), dtype=np.uint8)
    labels = (features[:, 0] > 127).astype(int)
    of_bytes = classifier().fit(features, labels)
    of_floats = classifier().fit(features.astype(np.float32) / np.float32(255), labels)
    assert of_bytes.loss_curve_ == of_floats.loss_curve_
    taken, _ = of_bytes._validated(features, labels, reset=False)
    assert np.shares_memory(taken, features)


def test_early_stopping_goes_back_to_the_best(problem):
    features, labels = problem
    noisy = np.where(np.random.default_rng(2).random(300) < 0.3, "yes", labels)
    own = classifier(epochs=500, early_stopping=True, patience=5, hidden_size=100).fit(features, noisy)
    assert own.n_iter_ == own.best_epoch_ + 5 < 500
    assert len(own.validation_scores_) == len(own.validation_losses_) == len(own.loss_curve_) == own.n_iter_
    assert min(own.validation_losses_) == own.validation_losses_[own.best_epoch_ - 1]
    shorter = clone(own).set_params(epochs=own.best_epoch_).fit(features, noisy)
    assert np.array_equal(shorter.predict_proba(features), own.predict_proba(features))


def test_partial_fit_is_an_epoch(problem):
    features, labels = problem
    at_once, by_epoch = classifier(epochs=4).fit(features, labels), classifier()
    for _ in range(4):
        by_epoch.partial_fit(features, labels, classes=["yes", "no"])
    assert by_epoch.loss_curve_ == at_once.loss_curve_
    assert np.array_equal(by_epoch.predict_proba(features), at_once.predict_proba(features))
    by_epoch.partial_fit(features[:50], labels[:50])
    assert by_epoch.n_iter_ == 5


def test_warm_start_keeps_the_momentum(problem):
    features, labels = problem
    straight = classifier(epochs=6).fit(features, labels)
    warm = classifier(epochs=3, warm_start=True).fit(features, labels)
    warm.fit(features, labels)
    assert warm.loss_curve_ == straight.loss_curve_


def test_a_pickled_training_goes_on_exactly(problem):
    features, labels = problem
    straight = classifier(epochs=3).fit(features, labels)
    copy = pickle.loads(pickle.dumps(straight))
    assert np.array_equal(copy.predict_proba(features), straight.predict_proba(features))
    assert copy._trainer.network is copy.network_
    for each in [straight, copy]:
        each.partial_fit(features, labels)
    assert copy.loss_curve_ == straight.loss_curve_
    assert np.array_equal(copy.predict_proba(features), straight.predict_proba(features))


def test_it_works_in_pipelines_and_searches(problem):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), classifier(epochs=5)),
        {"twolayernetclassifier__hidden_size": [4, 16]},
        cv=2,
    )
    assert search.fit(*problem).best_score_ > 0.6


def test_an_interrupted_fit_leaves_it_usable(problem):
    features, labels = problem

    def interrupt(progress):
        if progress.epoch == 3 and progress.step == 1:
            raise KeyboardInterrupt

    own = classifier(callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        own.fit(features, labels)
    assert own.n_iter_ == len(own.loss_curve_) == 2
    assert own.predict(features).shape == (300,)
    own.set_params(callback=None).partial_fit(features[:70], labels[:70])
    assert own.n_iter_ == 3


@pytest.mark.parametrize(
    "options, word",
    [
        ({"hidden_size": 0}, "hidden_size"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"learning_rate": 1e30}, "lower learning_rate"),
        ({"epochs": -1}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "tpu"}, "device"),
        ({"early_stopping": True, "validation_fraction": 1}, "validation_fraction"),
        ({"early_stopping": True, "patience": 0}, "patience"),
    ],
)
def test_wrong_parameters_are_refused(problem, options, word):
    with pytest.raises(ValueError, match=word):
        classifier(**options).fit(*problem)


def test_wrong_classes_are_refused(problem):
    features, labels = problem
    with pytest.raises(ValueError, match="needs classes"):
        classifier().partial_fit(features, labels)
    with pytest.raises(ValueError, match="none of the classes"):
        classifier().partial_fit(features, labels, classes=["no", "maybe"])
    own = classifier().partial_fit(features, labels, classes=["no", "yes"])
    with pytest.raises(ValueError, match="were"):
        own.partial_fit(features, labels, classes=["no", "yes", "maybe"])


def test_scikit_learn_is_imported_only_for_it():
    program = """
import sys, twolayernet
assert not {"sklearn", "scipy", "matplotlib", "torch"} & set(sys.modules)
assert "TwoLayerNetClassifier" in dir(twolayernet)
twolayernet.TwoLayerNetClassifier
assert "sklearn" in sys.modules
sys.modules.pop("twolayernet.classifier")
sys.modules.update({"sklearn.base": None})
try:
    twolayernet.TwoLayerNetClassifier
except ImportError as error:
    print(error)
"""
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    result = subprocess.run([sys.executable, "-c", path + program], capture_output=True, text=True, check=True)
    assert "needs scikit-learn" in result.stdout
    with pytest.raises(AttributeError, match="TwoLayerNetClasifier"):
        twolayernet.TwoLayerNetClasifier


@pytest.mark.parametrize(
    "options, error, word",
    [
        ({"callback": "print"}, TypeError, "callback must be callable, not str"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
        ({"early_stopping": True, "validation_fraction": 0.001}, ValueError, "early_stopping cannot keep 0.001"),
    ],
)
def test_wrong_parameters_are_named(problem, options, error, word):
    with pytest.raises(error, match=word):
        classifier(**options).fit(*problem)


def test_an_unknown_label_is_shown_as_it_is(problem):
    features, labels = problem
    with pytest.raises(ValueError, match="y contains 'yes', which is none of the classes"):
        classifier().partial_fit(features, labels, classes=["maybe", "no"])


def test_what_a_warm_start_may_change(problem):
    """A new learning rate holds at once, as a schedule of the caller's needs it; momentum is kept."""
    features, labels = problem
    own = classifier(epochs=2, warm_start=True).fit(features, labels)
    own.set_params(learning_rate=0.01).fit(features, labels)
    network = Network(8, 20, 2, seed=0)
    trainer = Trainer(network)
    dataset = Dataset(features, (labels == "yes").astype(int))
    trainer.fit(dataset, 2)
    trainer.set_learning_rate(0.01)
    trainer.fit(dataset, 2)
    for name, values in network.state_dict().items():
        assert np.array_equal(own.network_.parameter(name), values)
    own.set_params(learning_rate=0.0, momentum=0.0).fit(features, labels)
    for name, values in network.state_dict().items():
        assert np.array_equal(own.network_.parameter(name), values)
    with pytest.raises(ValueError, match=r"hidden_size is 21.*warm_start"):
        own.set_params(hidden_size=21).fit(features, labels)


def test_a_validation_fraction_that_is_no_number(problem):
    with pytest.raises(TypeError, match="validation_fraction must be a number, not str"):
        classifier(early_stopping=True, validation_fraction="a").fit(*problem)
