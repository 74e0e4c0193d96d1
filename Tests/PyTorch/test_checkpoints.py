"""Checkpoint files between the library and the PyTorch that is installed, in both directions."""

import collections
import inspect
import io
import pathlib
import random
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from twolayernet import Dataset, Network, Trainer, TwoLayerNetError

PARAMETERS = Network.PARAMETERS
HAS_WEIGHTS_ONLY = "weights_only" in inspect.signature(torch.load).parameters


class Model(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.flatten(x))


SIZES = [(1, 1, 1), (7, 3, 2), (784, 100, 10), (300, 70, 5), (70_000, 2, 3), (2, 260, 70)]


@pytest.fixture(params=SIZES, ids=str)
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(3)
    return Model(*request.param)


def load(path: pathlib.Path) -> dict:
    """torch.load, safely where this version can."""
    # 1.13 refuses the floats of its own optimisers in safe mode.
    is_1 = torch.__version__.startswith("1.")
    return torch.load(str(path), **({"weights_only": True} if HAS_WEIGHTS_ONLY and not is_1 else {}))


def assert_same(network: Network, state: dict) -> None:
    for name in PARAMETERS:
        expected = state[name].detach().numpy()
        assert np.array_equal(network.parameter(name), expected), name


# ------------------------------------------------------------------ networks


def test_files_of_pytorch(model: Model, tmp_path: pathlib.Path) -> None:
    state = model.state_dict()
    torch.save(state, str(tmp_path / "a.pth"))
    torch.save(state, str(tmp_path / "b.pth"), _use_new_zipfile_serialization=False)
    torch.save({"state_dict": nn.DataParallel(model).state_dict(), "epoch": 1}, str(tmp_path / "c.pth"))
    torch.save(dict(model.named_parameters()), str(tmp_path / "d.pth"))
    torch.save(state, str(tmp_path / "e.pth"), pickle_protocol=4)
    for name in "abcde":
        assert_same(Network.load(tmp_path / f"{name}.pth"), state)
    stream = io.BytesIO()
    torch.save(state, stream)
    assert_same(Network.from_bytes(stream.getvalue()), state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("is_archive", [True, False])
def test_every_protocol(model: Model, is_archive: bool, protocol: int, tmp_path: pathlib.Path) -> None:
    options = {"_use_new_zipfile_serialization": is_archive, "pickle_protocol": protocol}
    torch.save(model.state_dict(), str(tmp_path / "a.pth"), **options)
    assert_same(Network.load(tmp_path / "a.pth"), model.state_dict())


def test_what_else_a_checkpoint_has(model: Model, tmp_path: pathlib.Path) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    beside = {
        "rng": torch.get_rng_state(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 1, 2]).state_dict(),
        "seen": {1, 2},
        "comment": b"bytes",
        "device": torch.device("cpu"),
        "type": torch.float32,
    }
    torch.save({"epoch": 1, **beside, "model": model.state_dict()}, str(tmp_path / "a.pth"))
    assert_same(Network.load(tmp_path / "a.pth"), model.state_dict())


def test_negated_views_are_refused(tmp_path: pathlib.Path) -> None:
    """Such a tensor's storage has the numbers with the other sign."""
    state = Model(3, 2, 2).state_dict()
    negated = {name: torch.complex(value, value).conj().imag for name, value in state.items()}
    if not all(value.is_neg() for value in negated.values()):
        pytest.skip("this PyTorch keeps no such views")
    torch.save(negated, str(tmp_path / "a.pth"))
    with pytest.raises(TwoLayerNetError, match="negated"):
        Network.load(tmp_path / "a.pth")
    plain = {name: value.resolve_neg() for name, value in negated.items()}
    torch.save(plain, str(tmp_path / "b.pth"))
    assert_same(Network.load(tmp_path / "b.pth"), plain)


def test_files_for_pytorch(model: Model, tmp_path: pathlib.Path) -> None:
    torch.save(model.state_dict(), str(tmp_path / "a.pth"))
    network = Network.load(tmp_path / "a.pth")
    network.save(tmp_path / "b.pth")
    state = load(tmp_path / "b.pth")
    assert_same(network, state)
    assert state._metadata == model.state_dict()._metadata
    fresh = Model(*(model.layers[0].in_features, model.layers[0].out_features, model.layers[2].out_features))
    fresh.load_state_dict(state)
    if HAS_WEIGHTS_ONLY and "mmap" in inspect.signature(torch.load).parameters:
        mapped = torch.load(str(tmp_path / "b.pth"), mmap=True, weights_only=True)
        assert all(torch.equal(mapped[name], state[name]) for name in state)


def test_files_are_the_same_bytes(model: Model, tmp_path: pathlib.Path, is_2_1_2: bool) -> None:
    if not is_2_1_2:
        pytest.skip("files are those of 2.1.2")
    for name in ["mnist.pth", "a.b.pth", ".y.pth", "ä.pth", "a b.pt"]:
        (tmp_path / "ours").mkdir(exist_ok=True)
        torch.save(model.state_dict(), str(tmp_path / name))
        Network.load(tmp_path / name).save(tmp_path / "ours" / name)
        ours, theirs = (tmp_path / "ours" / name).read_bytes(), (tmp_path / name).read_bytes()
        assert ours == theirs, name


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_types(model: Model, kind: str, tmp_path: pathlib.Path) -> None:
    converted = {name: value.to(getattr(torch, kind)) for name, value in model.state_dict().items()}
    torch.save(converted, str(tmp_path / "a.pth"))
    assert_same(Network.load(tmp_path / "a.pth"), {name: value.float() for name, value in converted.items()})


@pytest.mark.parametrize("seed", range(20))
def test_random_views(seed: int, tmp_path: pathlib.Path) -> None:
    """Parameters as views of shared storages: with offsets, steps, transposed, of any type."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    inputs, hidden, outputs = (draw.randint(1, 9) for _ in range(3))
    type = draw.choice([torch.float32, torch.float64, torch.float16, torch.bfloat16])
    shared = torch.randn(5000).to(type)
    state = collections.OrderedDict()
    for name, sizes in zip(PARAMETERS, [(hidden, inputs), (hidden,), (outputs, hidden), (outputs,)]):
        source = shared if draw.random() < 0.7 else torch.randn(5000).to(type)
        strides = [draw.randint(1, 30) for _ in sizes]
        state[name] = source.as_strided(sizes, strides, draw.randint(0, 4000))
    torch.save(state, str(tmp_path / "a.pth"), _use_new_zipfile_serialization=draw.random() < 0.7)
    assert_same(Network.load(tmp_path / "a.pth"), {name: value.float() for name, value in state.items()})


def test_rezipped_files(model: Model, tmp_path: pathlib.Path) -> None:
    torch.save(model.state_dict(), str(tmp_path / "a.pth"))
    with zipfile.ZipFile(tmp_path / "a.pth") as old:
        for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]:
            with zipfile.ZipFile(tmp_path / "b.pth", "w", method) as new:
                for entry in old.infolist():
                    with new.open(entry.filename, "w", force_zip64=True) as file:
                        file.write(old.read(entry))
            assert_same(Network.load(tmp_path / "b.pth"), model.state_dict())


def test_safetensors(model: Model, tmp_path: pathlib.Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = model.state_dict()
    safetensors.save_file(state, str(tmp_path / "a.safetensors"), metadata={"format": "pt"})
    assert_same(Network.load(tmp_path / "a.safetensors"), state)
    safetensors.save_file(state, str(tmp_path / "b.safetensors"))
    Network.load(tmp_path / "a.safetensors").save(tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert_same(Network.load(tmp_path / "c.safetensors"), safetensors.load_file(str(tmp_path / "c.safetensors")))


# ------------------------------------------------------------------ trainers

OPTIONS = [
    dict(lr=0.1, momentum=0.9),
    dict(lr=0.1),
    dict(lr=0.05, momentum=0.8, dampening=0.1, weight_decay=1e-4),
    dict(lr=0.05, momentum=0.8, nesterov=True, weight_decay=1e-3),
    dict(lr=1e-3, momentum=0.5, maximize=True),
]
BATCHES = [
    (torch.rand(100, 64, generator=torch.Generator().manual_seed(seed)), torch.arange(100) * (seed + 1) % 10)
    for seed in range(12)
]


class Pair:
    """The same network in PyTorch and in the library, with its optimiser."""

    def __init__(self, options: dict) -> None:
        torch.manual_seed(0)
        self.model = Model(64, 40, 10)
        self.optimizer = torch.optim.SGD(self.model.parameters(), **options)
        self.network = Network(64, 40, 10, seed=0)
        names = {"lr": "learning_rate"}
        standard = {"momentum": 0.0}
        self.trainer = Trainer(self.network, **{**standard, **{names.get(k, k): v for k, v in options.items()}})

    def step_pytorch(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        nn.CrossEntropyLoss()(self.model(x), y).backward()
        self.optimizer.step()

    def step_ours(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.trainer.step(x.numpy(), y.numpy())

    def save_pytorch(self, path: pathlib.Path, epoch: int = 0) -> None:
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "epoch": epoch}
        torch.save(state, str(path))

    def load_pytorch(self, path: pathlib.Path) -> None:
        state = load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def assert_close(self, exact: bool) -> None:
        for name, value in self.model.state_dict().items():
            ours, theirs = self.network.parameter(name), value.numpy()
            # Debian's 1.13 has another library for products, which adds in another order.
            assert np.array_equal(ours, theirs) if exact else np.allclose(ours, theirs, atol=1e-5), name


@pytest.fixture
def is_exact() -> bool:
    """Whether this PyTorch's arithmetic is the library's: that of MKL, not of Debian's reference BLAS."""
    return not torch.__version__.startswith("1.")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_going_on_here(options: dict, is_exact: bool, tmp_path: pathlib.Path) -> None:
    pair = Pair(options)
    for batch in BATCHES[:6]:
        pair.step_pytorch(*batch)
    pair.save_pytorch(tmp_path / "a.pth")
    # The file's options replace those of this trainer.
    pair.trainer = Trainer(pair.network, learning_rate=7.0)
    pair.trainer.load(tmp_path / "a.pth")
    pair.assert_close(exact=True)
    for batch in BATCHES[6:]:
        pair.step_pytorch(*batch)
        pair.step_ours(*batch)
    pair.assert_close(is_exact)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_going_on_in_pytorch(options: dict, is_exact: bool, tmp_path: pathlib.Path) -> None:
    pair = Pair(options)
    for batch in BATCHES[:6]:
        pair.step_ours(*batch)
    pair.trainer.save(tmp_path / "a.pth")
    pair.optimizer.param_groups[0]["lr"] = 7.0
    pair.load_pytorch(tmp_path / "a.pth")
    assert pair.optimizer.param_groups[0]["lr"] == options["lr"]
    pair.assert_close(exact=True)
    for batch in BATCHES[6:]:
        pair.step_ours(*batch)
        pair.step_pytorch(*batch)
    pair.assert_close(is_exact)


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_trainer_files_are_the_same_bytes(
    options: dict, steps: int, is_2_1_2: bool, tmp_path: pathlib.Path
) -> None:
    if not is_2_1_2:
        pytest.skip("files are those of 2.1.2")
    pair = Pair(options)
    for batch in BATCHES[:steps]:
        pair.step_ours(*batch)
        pair.step_pytorch(*batch)
    pair.save_pytorch(tmp_path / "a.pth")
    (tmp_path / "ours").mkdir()
    pair.trainer.save(tmp_path / "ours/a.pth")
    theirs, ours = (tmp_path / "a.pth").read_bytes(), (tmp_path / "ours/a.pth").read_bytes()
    # Theirs ends with the size of its comment, which is zero.
    assert theirs[:-2] == ours[: len(theirs) - 2] and theirs[-2:] == bytes(2)


def test_the_comment_is_pytorchs_generator(tmp_path: pathlib.Path) -> None:
    torch.manual_seed(42)
    Model(64, 40, 10)
    trainer = Trainer(Network(64, 40, 10, seed=42))
    trainer.save(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as file:
        lines = dict(line.split(" ", 1) for line in file.comment.decode().splitlines())
    assert lines.keys() == {"twolayernet", "generator", "epochs"}
    assert bytes.fromhex(lines["generator"]) == torch.get_rng_state().numpy().tobytes()


def test_stopping_between_epochs_equals_not_stopping(tmp_path: pathlib.Path) -> None:
    features = np.concatenate([x.numpy() for x, _ in BATCHES])
    labels = np.concatenate([y.numpy() for _, y in BATCHES])
    data = Dataset(features, labels)
    whole, first = (Trainer(Network(64, 40, 10, seed=1)) for _ in range(2))
    whole.fit(data, 4)
    first.fit(data, 2)
    first.save(tmp_path / "a.pth")
    second = Trainer(Network(64, 40, 10, seed=2), batch_size=100)
    second.load(tmp_path / "a.pth")
    second.fit(data, 2)
    assert second.position == whole.position
    for name in PARAMETERS:
        assert np.array_equal(second.network.parameter(name), whole.network.parameter(name))


def test_going_on_in_pytorch_with_our_generator(is_exact: bool, tmp_path: pathlib.Path) -> None:
    """Two epochs here, two more in PyTorch with its DataLoader, from the generator in our file's comment."""
    features = torch.cat([x for x, _ in BATCHES])
    labels = torch.cat([y for _, y in BATCHES])
    pair = Pair(dict(lr=0.1, momentum=0.9))
    data = Dataset(features.numpy(), labels.numpy())
    pair.trainer.fit(data, 2)
    pair.trainer.save(tmp_path / "a.pth")
    pair.load_pytorch(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as file:
        lines = dict(line.split(" ", 1) for line in file.comment.decode().splitlines())
    torch.set_rng_state(torch.tensor(list(bytes.fromhex(lines["generator"])), dtype=torch.uint8))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(features, labels), batch_size=100, shuffle=True
    )
    for _ in range(2):
        for x, y in loader:
            pair.step_pytorch(x, y)
    pair.trainer.fit(data, 2)
    pair.assert_close(is_exact)


def test_going_on_here_after_epochs_in_pytorch(is_exact: bool, tmp_path: pathlib.Path) -> None:
    """Two epochs in PyTorch, from its file two more here. The generator, of which PyTorch's file says
    nothing, is brought to the same place by two epochs of a trainer that learns nothing."""
    features = torch.cat([x for x, _ in BATCHES])
    labels = torch.cat([y for _, y in BATCHES])
    torch.manual_seed(5)
    pair = Pair(dict(lr=0.1, momentum=0.9, nesterov=True))
    torch.manual_seed(0)
    Model(64, 40, 10)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(features, labels), batch_size=100, shuffle=True
    )
    for epoch in range(4):
        for x, y in loader:
            pair.step_pytorch(x, y)
        if epoch == 1:
            pair.save_pytorch(tmp_path / "a.pth", epoch=2)
    data = Dataset(features.numpy(), labels.numpy())
    pair.trainer = Trainer(pair.network, learning_rate=0.0, momentum=0.0)
    pair.trainer.fit(data, 2)
    pair.trainer.load(tmp_path / "a.pth")
    pair.trainer.fit(data, 2)
    pair.assert_close(is_exact)
