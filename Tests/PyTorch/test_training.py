"""Fresh runs of PyTorch 2.1.2 beside the library's: initial weights, batches, losses, final weights, to
the bit. Sizes and options are drawn anew from TLN_TEST_SEED (default 0)."""

import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset as TorchDataset, TensorDataset

from twolayernet import Dataset, Network, Trainer

START = int(os.environ.get("TLN_TEST_SEED", "0"))


@pytest.fixture(autouse=True)
def needs_2_1_2(is_2_1_2):
    if not is_2_1_2:
        pytest.skip("the arithmetic is that of PyTorch 2.1.2")


def model(inputs, hidden, outputs):
    layers = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)]
    return nn.ModuleDict({"layers": nn.Sequential(*layers)})


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


class Indices(TorchDataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 1797, 60000])
def test_order_of_batches(count):
    """The order is read off a network that learns nothing: each batch's loss names its rows."""
    rng = np.random.default_rng(count)
    features = rng.normal(size=(count, 1)).astype(np.float32)
    labels = np.zeros(count, np.int64)
    torch.manual_seed(7)
    module = model(1, 4, 2)
    network = Network(1, 4, 2, seed=7)
    trainer = Trainer(network, learning_rate=0, momentum=0, batch_size=max(count // 50, 1))
    losses = []
    trainer.fit(Dataset(features, labels), 3, lambda progress: losses.append(progress.loss))
    loader = DataLoader(Indices(count), batch_size=max(count // 50, 1), shuffle=True)
    theirs = []
    with torch.no_grad():
        for _ in range(3):
            for indices in loader:
                logits = module["layers"](torch.from_numpy(features)[indices])
                theirs.append(nn.functional.cross_entropy(logits, torch.from_numpy(labels)[indices]).item())
    assert losses == theirs


def cases(count):
    draw = random.Random(START)
    for number in range(count):
        options = {"learning_rate": draw.choice([0.1, 0.01, 0.3]), "momentum": draw.choice([0.9, 0.5, 0.0])}
        if draw.random() < 0.4:
            options["weight_decay"] = draw.choice([1e-4, 0.01])
        if options["momentum"] and draw.random() < 0.3:
            options["nesterov"] = True
        elif draw.random() < 0.3:
            options["dampening"] = 0.1
        if draw.random() < 0.1:
            # Slowly, because climbing soon leaves the finite numbers, where training stops.
            options |= {"maximize": True, "learning_rate": 1e-3}
        options["drop_last"] = draw.random() < 0.3
        sizes = draw.choice([1, 2, 7, 64, 100, 191, 193, 400, 784]), draw.randint(1, 130), draw.randint(1, 20)
        rows = draw.randint(1, 700)
        yield number, sizes, rows, draw.randint(1, min(rows, 300)), draw.choice([0.1, 0.5, 1.0]), options


@pytest.mark.parametrize("number, sizes, rows, batch, density, options", list(cases(60)))
def test_training(number, sizes, rows, batch, density, options):
    rng = np.random.default_rng(START * 1000 + number)
    features = rng.integers(0, 256, (rows, sizes[0]), dtype=np.uint8)
    features[rng.random(features.shape) > density] = 0
    labels = rng.integers(0, sizes[2], rows)
    seed = int(rng.integers(2**62))

    torch.manual_seed(seed)
    module = model(*sizes)
    renamed = {"lr" if key == "learning_rate" else key: value for key, value in options.items()}
    drop_last = renamed.pop("drop_last")
    optimizer = torch.optim.SGD(module.parameters(), **renamed)
    scaled = torch.from_numpy(features).to(torch.float32).div(255)
    data = TensorDataset(scaled, torch.from_numpy(labels))
    loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=drop_last)
    theirs = []
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module["layers"](x), y)
            loss.backward()
            optimizer.step()
            theirs.append(loss.item())

    network = Network(*sizes, seed=seed)
    trainer = Trainer(network, batch_size=batch, **options)
    ours = []
    trainer.fit(Dataset(features, labels), 3, lambda progress: ours.append(progress.loss))
    assert ours == theirs
    assert_same(module, network)
