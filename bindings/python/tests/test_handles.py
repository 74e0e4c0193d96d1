"""Who owns what: closing, copying, and what happens when several threads share an object."""

import copy
import gc
import pickle
import threading
import time
import weakref

import numpy as np
import pytest

from twolayernet import Cancelled, Dataset, Network, Trainer


@pytest.fixture
def parts():
    features = np.random.default_rng(0).integers(0, 256, (300, 20), dtype=np.uint8)
    network = Network(20, 8, 2, seed=4)
    dataset = Dataset(features, (features[:, 0] > 127).astype(np.int64))
    return dataset, network, Trainer(network, batch_size=32)


def test_closing(parts):
    for part in parts:
        part.close()
        part.close()
    dataset, network, trainer = parts
    for use in [
        dataset.labels, network.state_dict, lambda: trainer.position, trainer.cancel,
        lambda: network.evaluate(dataset), lambda: trainer.fit(dataset, 1), lambda: Trainer(network),
    ]:
        with pytest.raises(ValueError, match="has been closed"):
            use()
    assert repr(network) == "Network(closed)" and repr(trainer) == "Trainer(closed)"


def test_they_are_context_managers():
    with Dataset(np.ones((4, 3), np.float32), [0, 1, 0, 1]) as dataset, Network(3, 2, 2) as network:
        with Trainer(network) as trainer:
            trainer.fit(dataset, 1)
        assert network.evaluate(dataset).rows == 4
    with pytest.raises(ValueError, match="closed"):
        network.logits(np.ones((1, 3), np.float32))


def test_a_trainer_outlives_a_closed_network(parts):
    dataset, network, trainer = parts
    network.close()
    trainer.fit(dataset, 1)
    assert trainer.position == (1, 0)


def test_a_dataset_keeps_its_array_and_lets_go_of_it():
    class Array(np.ndarray):
        pass

    features = np.ones((10, 4), np.float32).view(Array)
    gone = weakref.ref(features)
    dataset = Dataset(features, np.zeros(10, int))
    del features
    gc.collect()
    assert gone() is not None and dataset.features(0, 1).tolist() == [[1, 1, 1, 1]]
    dataset.close()
    gc.collect()
    assert gone() is None


def test_a_copied_dataset_may_lose_its_array():
    features = np.full((10, 4), 255, np.uint8)
    borrowed, copied = Dataset(features), Dataset(features, copy=True)
    features[:] = 0
    assert borrowed.features().max() == 0 and copied.features().min() == 1


def test_closing_while_another_thread_trains(parts):
    dataset, network, trainer = parts
    ended = []

    def train():
        try:
            trainer.fit(dataset, 10**9)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    while trainer.position == (0, 0):
        time.sleep(0.001)
    with pytest.raises(ValueError, match="trained or changed"):
        trainer.fit(dataset, 1)
    with pytest.raises(ValueError, match="trained or changed"):
        network.set_parameter("layers.2.bias", [0, 0])
    for _ in range(50):
        assert network.predict(np.zeros((3, 20), np.uint8)).shape == (3,)
    network.close()
    dataset.close()
    trainer.cancel()
    trainer.close()
    thread.join()
    assert len(ended) == 1


def test_many_threads_predict_with_one_network(parts):
    dataset, network, _ = parts
    features = dataset.features()
    expected, wrong = network.logits(features), []

    def predict():
        for _ in range(30):
            if not np.array_equal(network.logits(features), expected):
                wrong.append(1)

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_go_on_exactly(parts, duplicate):
    dataset, network, trainer = parts

    def stop(progress):
        if progress.epoch == 3 and progress.step == 4:
            raise StopIteration

    with pytest.raises(StopIteration):
        trainer.fit(dataset, 3, stop)
    twin = duplicate(trainer)
    assert twin.position == trainer.position == (2, 5)
    assert twin.network is not network
    for each in [trainer, twin]:
        each.fit(dataset, 2)
    for name, values in network.state_dict().items():
        assert np.array_equal(twin.network.parameter(name), values)
    lonely = duplicate(Network(3, 4, 5, threads=2))
    assert (lonely.input_size, lonely.hidden_size, lonely.output_size) == (3, 4, 5)
