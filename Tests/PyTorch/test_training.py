"""Fresh runs of PyTorch 2.1.2 beside the library's: initial weights, batches, losses, final weights, to
the bit. Sizes and options are drawn anew from TLN_TEST_SEED (default 0)."""

import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset as TorchDataset

from runs import compare, draw_case, model, order
from twolayernet import Dataset, Network, Trainer

START = int(os.environ.get("TLN_TEST_SEED", "0"))


@pytest.fixture(autouse=True)
def needs_2_1_2(is_2_1_2):
    if not is_2_1_2:
        pytest.skip("the arithmetic is that of PyTorch 2.1.2")


def parameters(network):
    return [network.parameter(name) for name in Network.PARAMETERS]


def assert_same(module, network):
    for (name, theirs), ours in zip(module.state_dict().items(), parameters(network)):
        theirs = theirs.numpy()
        assert np.array_equal(theirs.view(np.uint32), ours.view(np.uint32)), name


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**32 + 5, 2**63, 2**64 - 1, -1])
@pytest.mark.parametrize("sizes", [(784, 100, 10), (1, 1, 1), (3, 17, 5), (64, 33, 10), (15, 16, 17)])
def test_initial_weights(seed, sizes):
    torch.manual_seed(seed)
    assert_same(model(*sizes), Network(*sizes, seed=seed))


def test_initial_weights_of_any_seed_and_size():
    draw = random.Random(START)
    for _ in range(200):
        seed = draw.choice([draw.randrange(2**32), draw.randrange(2**64), -draw.randrange(2**63)])
        sizes = [max(1, int(10 ** draw.uniform(0, 3))) for _ in range(3)]
        torch.manual_seed(seed)
        assert_same(model(*sizes), Network(*sizes, seed=seed))


class Indices(TorchDataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


def orders_of_loader(count, batch):
    """The batches of one epoch, as the DataLoader itself makes them."""
    return DataLoader(Indices(count), batch_size=batch, shuffle=True)


def orders_without_loader(count, batch):
    """The same without going through all rows one by one in Python; test_what_a_loader_draws compares them."""
    return order(count).split(batch)


@pytest.mark.parametrize("count", [1, 2, 100, 1797])
def test_what_a_loader_draws(count):
    for epoch in range(25):
        torch.manual_seed(epoch)
        theirs = torch.cat(list(orders_of_loader(count, 100)))
        state = torch.get_rng_state()
        torch.manual_seed(epoch)
        assert torch.equal(theirs, order(count)) and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 1797, 60_000, 10_000_000])
def test_order_of_batches(count):
    """The order is read off a network that learns nothing: each batch's loss names its rows."""
    rng = np.random.default_rng(count)
    features = rng.normal(size=(count, 1)).astype(np.float32)
    labels = np.zeros(count, np.int64)
    batch = max(count // 50, 1)
    torch.manual_seed(7)
    module = model(1, 4, 2)
    network = Network(1, 4, 2, seed=7)
    trainer = Trainer(network, learning_rate=0, momentum=0, batch_size=batch)
    # The 25 epochs of ten million rows are the same too, but take five minutes.
    epochs = 25 if count < 1_000_000 else 3
    losses = []
    trainer.fit(Dataset(features, labels), epochs, lambda progress: losses.append(progress.loss))
    batches = orders_of_loader if count < 10_000 else orders_without_loader
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    theirs = []
    with torch.no_grad():
        for _ in range(epochs):
            for rows in batches(count, batch):
                theirs.append(nn.functional.cross_entropy(module["layers"](x[rows]), y[rows]).item())
    assert losses == theirs


def cases(count, **ranges):
    draw = random.Random(START)
    return [draw_case(draw, **ranges) for _ in range(count)]


@pytest.mark.parametrize("case", cases(120, most_work=3e7), ids=str)
def test_training(case):
    assert compare(case).equal


@pytest.mark.parametrize("case", cases(20, most_work=1e9), ids=str)
def test_training_of_large_networks(case):
    assert compare(case).equal
