"""Datasets and training: the same run as PyTorch's, and how it can be interrupted."""

import copy
import hashlib
import json
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from twolayernet import Cancelled, Dataset, Network, Trainer, TwoLayerNetError

RECORDING = json.loads(
    (pathlib.Path(__file__).resolve().parents[3] / "Tests/Golden/training.json").read_text()
)


def digits_run():
    """A plain run on the digits that was recorded from PyTorch."""
    for run in RECORDING["runs"]:
        usual = [run.get("lr"), run.get("momentum"), run.get("shuffle"), run.get("drop_last")]
        if run["dataset"] == "digits" and all(value in (None, 0.1, 0.9, True, False) for value in usual):
            return run
    raise AssertionError("no such run was recorded")


def test_the_run_is_pytorchs(digits):
    run = digits_run()
    train = Dataset.open_mnist(digits)
    network = Network(train.shape[1], run["hidden"], 10, seed=run["seed"])
    options = {
        name: run[key]
        for name, key in [
            ("learning_rate", "lr"), ("momentum", "momentum"), ("dampening", "dampening"),
            ("weight_decay", "weight_decay"), ("nesterov", "nesterov"), ("maximize", "maximize"),
            ("shuffle", "shuffle"), ("drop_last", "drop_last"),
        ]
        if run.get(key) is not None
    }
    trainer = Trainer(network, batch_size=run["batch"], **options)
    losses = []
    trainer.fit(train, run["epochs"], lambda progress: losses.append(np.float32(progress.loss)))
    steps = len(losses) // run["epochs"]
    for epoch, expected in enumerate(run["losses_sha256"]):
        own = np.array(losses[epoch * steps : (epoch + 1) * steps], "<f4")
        assert hashlib.sha256(own.tobytes()).hexdigest() == expected
    assert network.evaluate(train).correct == run["correct"]


def problem(rows=400, columns=20, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    return features, (features[:, 0] > 127).astype(np.int64)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint64, np.int64, ">i8", bool])
def test_labels_of_any_integer_type(dtype):
    features, labels = problem()
    assert np.array_equal(Dataset(features, labels.astype(dtype)).labels(), labels)


def test_every_layout_trains_the_same():
    features, labels = problem()
    wide = np.zeros((800, 30), np.uint8)
    wide[::2, :20] = features
    floats = features.astype(np.float32) / np.float32(255)

    class Interface:
        __array_interface__ = features.__array_interface__

    class Capsule:
        def __dlpack__(self, **options):
            return features.__dlpack__(**options)

        def __dlpack_device__(self):
            return features.__dlpack_device__()

    results = []
    for same in [features, wide[::2, :20], np.asfortranarray(features), floats, Interface(), Capsule()]:
        network = Network(20, 8, 2, seed=3)
        Trainer(network, batch_size=32).fit(Dataset(same, labels), 2)
        results.append(network.parameter("layers.0.weight"))
    assert all(np.array_equal(result, results[0]) for result in results)


def test_arrays_are_borrowed_where_their_layout_allows():
    features, _ = problem()
    assert np.shares_memory(Dataset(features)._handle.borrowed, features)
    assert np.shares_memory(Dataset(features[::2])._handle.borrowed, features)
    assert not np.shares_memory(Dataset(features[:, ::2])._handle.borrowed, features)
    assert not np.shares_memory(Dataset(features[::-1])._handle.borrowed, features)


def test_datasets_give_their_rows_back():
    features, labels = problem()
    dataset = Dataset(features, labels)
    assert len(dataset) == 400 and dataset.shape == (400, 20)
    assert np.array_equal(dataset.features(10, 12), features[10:12].astype(np.float32) / np.float32(255))
    assert np.array_equal(dataset.labels(-3), labels[-3:])
    with pytest.raises(TwoLayerNetError, match="no labels"):
        Dataset(features).labels()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("copied", [True, False])
def test_datasets_can_be_pickled(kind, copied):
    features, labels = problem()
    for dataset in [Dataset(features.astype(kind), labels, copy=copied), Dataset(features[::2].astype(kind))]:
        for again in [pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)]:
            assert again.shape == dataset.shape
            assert np.array_equal(again.features(), dataset.features())
            if len(dataset) == 400:
                assert np.array_equal(again.labels(), labels)
            else:
                with pytest.raises(TwoLayerNetError, match="no labels"):
                    again.labels()
    dataset.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(dataset)


@pytest.mark.parametrize(
    "labels, error, word",
    [
        ([0, 1], ValueError, r"shape \(400,\).*not \(2,\)$"),
        (np.zeros((400, 1), int), ValueError, r"reshape\(-1\)"),
        (np.zeros((400, 3), int), ValueError, r"argmax\(axis=1\)"),
        (np.zeros(400), TypeError, r"integers, not float64: astype\(int\)"),
        (np.full(400, "a"), TypeError, r"numpy\.unique"),
        (np.ma.masked_equal(np.zeros(400, int), 0), ValueError, "masked"),
        (np.full(400, -1), ValueError, "negative"),
        (np.full(400, 2**63, np.uint64), ValueError, "too large"),
        (np.full(400, 2**40), TwoLayerNetError, "label"),
    ],
)
def test_wrong_labels_are_refused(labels, error, word):
    with pytest.raises(error, match=word):
        Dataset(problem()[0], labels)


def test_a_step_is_a_step_of_fit():
    features, labels = problem(100)
    by_fit, by_step = Network(20, 8, 2), Network(20, 8, 2)
    losses = []
    Trainer(by_fit, batch_size=25, shuffle=False).fit(
        Dataset(features, labels), 1, lambda progress: losses.append(progress.loss)
    )
    trainer = Trainer(by_step)
    own = [trainer.step(features[i : i + 25], labels[i : i + 25]) for i in range(0, 100, 25)]
    assert own == losses
    assert np.array_equal(by_fit.parameter("layers.2.weight"), by_step.parameter("layers.2.weight"))


@pytest.mark.parametrize(
    "options",
    [{"learning_rate": float("nan")}, {"momentum": -1}, {"batch_size": 0}, {"nesterov": True, "momentum": 0}],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(TwoLayerNetError) as caught:
        Trainer(Network(2, 2, 2), **options)
    assert caught.value.status_name == "TLN_INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "option, value, word",
    [
        ("learning_rate", "0.1", "learning_rate must be a number, not str"),
        ("momentum", None, "momentum must be a number, not NoneType"),
        ("weight_decay", np.zeros(2), "weight_decay must be a number, not ndarray"),
        ("shuffle", "no", "shuffle must be True or False, not 'no'"),
        ("drop_last", None, "drop_last must be True or False, not None"),
        ("batch_size", 1.5, "batch_size must be an integer, not float"),
        ("seed", "x", "seed must be an integer, not str"),
    ],
)
def test_options_of_a_wrong_type_are_named(option, value, word):
    with pytest.raises(TypeError, match=word):
        Trainer(Network(2, 2, 2), **{option: value})


def test_wrong_arguments_change_nothing():
    trainer = Trainer(Network(20, 8, 2))
    with pytest.raises(TypeError, match="callback must be callable, not str"):
        trainer.fit(Dataset(*problem()), 1, "callback")
    assert trainer.position == (0, 0)
    for rate, error in [("x", TypeError), (None, TypeError), (10**400, ValueError), (-1, ValueError)]:
        with pytest.raises(error, match="learning_rate"):
            trainer.set_learning_rate(rate)
    with pytest.raises(TypeError, match="stop must be an integer"):
        Dataset(*problem()).features(2, "a")


def test_a_callbacks_exception_comes_out_and_training_goes_on():
    features, labels = problem()
    dataset = Dataset(features, labels)
    trainer = Trainer(Network(20, 8, 2))

    def fail(progress):
        if progress.step == 2:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        trainer.fit(dataset, 1, fail)
    assert trainer.position == (0, 3)
    trainer.fit(dataset, 1)
    assert trainer.position == (1, 0)


def test_cancel_from_another_thread():
    dataset = Dataset(*problem(5000))
    trainer = Trainer(Network(20, 64, 2))
    timer = threading.Timer(0.2, trainer.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        trainer.fit(dataset, 10**9)
    timer.join()


def test_other_threads_run_meanwhile():
    dataset = Dataset(*problem(5000))
    trainer = Trainer(Network(20, 64, 2))
    counted = []

    def count():
        for number in range(20):
            counted.append(number)
            time.sleep(0.01)
        trainer.cancel()

    thread = threading.Thread(target=count)
    thread.start()
    with pytest.raises(Cancelled):
        trainer.fit(dataset, 10**9)
    thread.join()
    assert len(counted) == 20


def test_ctrl_c_ends_training_and_leaves_the_network_usable():
    program = """
import os, signal, threading, numpy as np, twolayernet as t
rng = np.random.default_rng(0)
x = rng.integers(0, 256, (5000, 20), dtype=np.uint8)
d = t.Dataset(x, (x[:, 0] > 127).astype(int))
trainer = t.Trainer(t.Network(20, 64, 2))
for callback in [None, lambda p: None]:
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        trainer.fit(d, 10**9, callback)
    except KeyboardInterrupt:
        trainer.fit(d, 1)
        print(trainer.network.evaluate(d).rows)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split() == ["5000", "5000"], result.stderr


def test_training_goes_on_from_a_file(tmp_path):
    dataset = Dataset(*problem())
    straight, first, second = (Trainer(Network(20, 8, 2, seed=5)) for _ in range(3))
    straight.fit(dataset, 4)
    first.fit(dataset, 2)
    first.save(tmp_path / "trainer.pth")
    second.load(tmp_path / "trainer.pth")
    second.fit(dataset, 2)
    for name in Network.PARAMETERS:
        assert np.array_equal(straight.network.parameter(name), second.network.parameter(name))


def test_a_trainer_keeps_its_network():
    trainer = Trainer(Network(20, 8, 2))
    trainer.fit(Dataset(*problem()), 1)
    assert trainer.network.predict(problem()[0]).shape == (400,)


def test_errors_can_be_pickled():
    error = pickle.loads(pickle.dumps(TwoLayerNetError("text", 3, "TLN_BAD_FILE")))
    assert (str(error), error.status, error.status_name) == ("text", 3, "TLN_BAD_FILE")
