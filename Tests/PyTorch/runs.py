"""One training in PyTorch and the same in the library, of any sizes and options, compared to the bit.

`draw` makes up such a training; what is done with the comparison is up to test_training.py and explore.py.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import torch
from torch import nn

from twolayernet import Dataset, Network, Trainer

# Where a kernel of PyTorch's may hand over to another: the widths of vectors and tiles, the length of
# panels, powers of two, and their neighbours.
EDGES = sorted(
    {
        edge + near
        for edge in [
            1,
            4,
            8,
            12,
            16,
            24,
            32,
            48,
            64,
            96,
            128,
            192,
            256,
            384,
            512,
            576,
            768,
            1024,
            2048,
            4096,
        ]
        for near in (-1, 0, 1)
    }
    - {0}
)


@dataclasses.dataclass
class Case:
    """A training: sizes, data and options. `density` is the share of values that are not zero."""

    inputs: int
    hidden: int
    outputs: int
    rows: int
    batch: int
    epochs: int
    density: float
    floats: bool
    seed: int
    options: dict[str, Any]
    drop_last: bool = False

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of uint8, or Gaussian float32; labels."""
        rng = np.random.default_rng(self.seed % 2**32)
        shape = (self.rows, self.inputs)
        if self.floats:
            features = rng.standard_normal(shape, np.float32)
        else:
            features = rng.integers(0, 256, shape, np.uint8)
        if self.density < 1:
            features[rng.random(shape, np.float32) > self.density] = 0
        return features, rng.integers(0, self.outputs, self.rows)


@dataclasses.dataclass
class Outcome:
    """How far two runs of a case agree. Steps count from 0; None: no step's loss differs."""

    equal: bool
    steps: int
    first_difference: int | None
    distance: float
    parameters: list[str]


def size(draw: random.Random, lowest: int, highest: int) -> int:
    """A number of the range, small ones and edges of kernels more often."""
    if draw.random() < 0.4:
        return draw.choice([edge for edge in EDGES if lowest <= edge <= highest])
    if draw.random() < 0.5:
        return draw.randint(lowest, highest)
    return int(lowest * (highest / lowest) ** draw.random())


def options(draw: random.Random) -> dict[str, Any]:
    """Options of SGD, by PyTorch's names."""
    chosen: dict[str, Any] = {
        "lr": draw.choice([0.1, 0.01, 0.3]),
        "momentum": draw.choice([0.9, 0.5, 0.0]),
    }
    if draw.random() < 0.3:
        chosen["weight_decay"] = draw.choice([1e-4, 0.01])
    if chosen["momentum"] and draw.random() < 0.2:
        chosen["nesterov"] = True
    elif draw.random() < 0.2:
        chosen["dampening"] = draw.choice([0.1, 0.5])
    if draw.random() < 0.1:
        # Slowly, because climbing soon leaves the finite numbers, where training stops.
        chosen |= {"maximize": True, "lr": 1e-3}
    return chosen


def draw_case(
    draw: random.Random,
    inputs: tuple[int, int] = (1, 4096),
    hidden: tuple[int, int] = (1, 1024),
    outputs: tuple[int, int] = (2, 100),
    batch: tuple[int, int] = (1, 1000),
    most_work: float = 1e9,
) -> Case:
    """A case whose sizes lie in the ranges and whose products number at most `most_work` a step."""
    while True:
        sizes = size(draw, *inputs), size(draw, *hidden), size(draw, *outputs)
        rows_of_batch = size(draw, *batch)
        if rows_of_batch * sizes[1] * (sizes[0] + sizes[2]) <= most_work:
            break
    steps = draw.randint(2, 5)
    last = draw.randint(1, rows_of_batch) if draw.random() < 0.6 else rows_of_batch
    floats = draw.random() < 0.3
    return Case(
        *sizes,
        rows=rows_of_batch * (steps - 1) + last,
        batch=rows_of_batch,
        epochs=draw.randint(1, 2),
        density=draw.choice([0.02, 0.2, 0.5, 1.0]),
        floats=floats,
        seed=draw.randrange(2**64),
        options=options(draw),
        drop_last=draw.random() < 0.2,
    )


def model(inputs: int, hidden: int, outputs: int) -> nn.Module:
    """The article's network with its names of parameters."""
    layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    return nn.ModuleDict({"layers": layers})


def order(count: int, shuffle: bool = True) -> torch.Tensor:
    """The rows' order of one epoch: what a DataLoader with shuffle=True draws from the default generator."""
    torch.empty((), dtype=torch.int64).random_()
    if not shuffle:
        return torch.arange(count)
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def run_pytorch(case: Case, features: np.ndarray, labels: np.ndarray) -> tuple[list[float], nn.Module]:
    """Losses of all steps, and the trained model."""
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    if x.dtype == torch.uint8:
        x = x.to(torch.float32).div(255)
    torch.manual_seed(case.seed)
    module = model(case.inputs, case.hidden, case.outputs)
    optimizer = torch.optim.SGD(module.parameters(), **case.options)
    losses = []
    for _ in range(case.epochs):
        for rows in order(len(x)).split(case.batch):
            if case.drop_last and len(rows) < case.batch:
                continue
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module["layers"](x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, module


def run_ours(case: Case, features: np.ndarray, labels: np.ndarray) -> tuple[list[float], Network]:
    """The same here."""
    network = Network(case.inputs, case.hidden, case.outputs, seed=case.seed, device="cpu")
    names = {"lr": "learning_rate"}
    renamed = {names.get(name, name): value for name, value in case.options.items()}
    trainer = Trainer(network, batch_size=case.batch, drop_last=case.drop_last, **renamed)
    losses: list[float] = []
    trainer.fit(Dataset(features, labels), case.epochs, lambda progress: losses.append(progress.loss))
    return losses, network


def differing_parameters(module: nn.Module, network: Network) -> list[str]:
    """The names of the parameters that are not the same bits."""
    return [
        name
        for name, theirs in module.state_dict().items()
        if not np.array_equal(theirs.numpy().view(np.uint32), network.parameter(name).view(np.uint32))
    ]


def compare(case: Case) -> Outcome:
    """Runs a case in both."""
    data = case.data()
    theirs, module = run_pytorch(case, *data)
    ours, network = run_ours(case, *data)
    parameters = differing_parameters(module, network)
    pairs = enumerate(zip(ours, theirs))
    first = next((step for step, (our, their) in pairs if our != their), None)
    distance = max(
        float(np.abs(network.parameter(name) - value.numpy()).max())
        for name, value in module.state_dict().items()
    )
    equal = not parameters and ours == theirs
    return Outcome(equal, len(theirs), first, distance, parameters)
