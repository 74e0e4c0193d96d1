"""PyTorch's tensors and modules, in and out. `make test-pytorch` runs this with PyTorch 2.1.2."""

import pickle

import numpy as np
import pytest

import twolayernet
from twolayernet import Dataset, Network, Trainer

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make test-pytorch runs this)")


@pytest.fixture
def network():
    return Network(6, 5, 3, seed=1)


def sequential(*sizes, bias=True):
    return torch.nn.Sequential(
        torch.nn.Linear(sizes[0], sizes[1], bias=bias), torch.nn.ReLU(), torch.nn.Linear(sizes[1], sizes[2])
    )


def test_to_torch_is_the_same_network(network):
    state = torch.get_rng_state()
    module = network.to_torch()
    assert torch.equal(torch.get_rng_state(), state), "PyTorch's generator was touched"
    assert list(module.state_dict()) == list(Network.PARAMETERS)
    assert module.training and all(value.requires_grad for value in module.parameters())
    features = torch.randn(40, 6)
    assert np.allclose(module(features).detach().numpy(), network.logits(features), atol=1e-6)
    assert module(features.reshape(40, 2, 3)).shape == (40, 3)
    with torch.no_grad():
        module.layers[0].weight.zero_()
    assert network.parameter("layers.0.weight").any(), "the module shares the network's memory"


def test_there_and_back(network):
    back = Network.from_torch(network.to_torch(), threads=1)
    for name, values in network.state_dict().items():
        assert np.array_equal(back.parameter(name), values)
    copy = pickle.loads(pickle.dumps(network.to_torch()))
    assert torch.equal(copy.layers[2].bias, network.to_torch().layers[2].bias)


def test_a_module_of_ones_own(network, tmp_path):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = torch.nn.Linear(6, 5)
            self.fc2 = torch.nn.Linear(5, 3)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x)))

    features = torch.randn(40, 6)
    for module in [Own(), sequential(6, 5, 3), sequential(6, 5, 3).double(), sequential(6, 5, 3).bfloat16()]:
        own = Network.from_torch(module)
        expected = module.float()(features).detach().numpy()
        assert np.allclose(own.logits(features), expected, atol=1e-6)
    own.save(tmp_path / "own.pth")
    assert torch.equal(torch.load(tmp_path / "own.pth")["layers.0.weight"], module[0].weight)


@pytest.mark.parametrize(
    "module, error, word",
    [
        (3, TypeError, "int"),
        (torch.nn.Linear(6, 3), ValueError, "its layers are Linear"),
        (sequential(6, 5, 3, bias=False), ValueError, "bias"),
        (torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)), ValueError, "Tanh"),
        (torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(4, 3)), ValueError, "takes 4"),
        (torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3)), ValueError, "Linear, Linear"),
        (torch.nn.Sequential(sequential(6, 5, 3), torch.nn.ReLU()), ValueError, "Linear, ReLU, Linear, ReLU"),
        (torch.nn.Sequential(sequential(6, 5, 3), torch.nn.Linear(3, 3)), ValueError, "Linear, Linear"),
        (torch.nn.Sequential(), ValueError, "layers"),
    ],
)
def test_other_modules_are_refused(module, error, word):
    with pytest.raises(error, match=word):
        Network.from_torch(module)


def test_a_module_that_is_not_finite_is_refused():
    module = sequential(6, 5, 3)
    with torch.no_grad():
        module[0].bias[2] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        Network.from_torch(module)


def test_tensors_are_borrowed():
    features = torch.randint(0, 256, (300, 2, 10), dtype=torch.uint8)
    labels = (features[:, 0, 0] > 127).long()
    for tensor in [features, features[::3], torch.rand(300, 20)]:
        dataset = Dataset(tensor, labels[: len(tensor)])
        assert np.shares_memory(dataset._handle.borrowed, tensor.numpy())
    for kind in [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]:
        assert np.array_equal(Dataset(features, labels.to(kind)).labels(), labels.numpy())
    # Older PyTorch has no bools in DLPack.
    assert np.array_equal(Dataset(features, labels.bool()).labels(), labels.numpy())
    network = Network(20, 8, 2)
    Trainer(network).fit(Dataset(features, labels), 2)
    assert np.array_equal(network.predict(features), network.predict(features.numpy()))
    network.load_state_dict(network.to_torch().state_dict())
    network.set_parameter("layers.0.bias", torch.nn.Parameter(torch.zeros(8)))
    assert not network.parameter("layers.0.bias").any()


def test_a_tensor_that_is_read_with_the_opposite_sign():
    """PyTorch keeps the sign beside the memory, and DLPack leaves it out."""
    tensor = torch.view_as_complex(torch.ones(3, 4, 2)).conj().imag
    assert tensor.is_neg()
    assert np.array_equal(Dataset(tensor).features(), -np.ones((3, 4), np.float32))


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: torch.zeros(2, 6, dtype=torch.bfloat16), "DLPack"),
        (lambda: torch.zeros(2, 6, device="meta"), "CPU|DLPack"),
        (lambda: torch.zeros(2, 6, dtype=torch.complex64), "numbers"),
    ],
)
def test_wrong_tensors_are_refused(network, make, word):
    with pytest.raises(TypeError, match=word):
        network.predict(make())


def test_tensors_on_a_gpu_are_refused():
    class OnGPU:
        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, **options):
            raise AssertionError("nobody may ask for this")

    with pytest.raises(TypeError, match=r"\.cpu\(\)"):
        Dataset(OnGPU())


def test_torch_is_imported_only_when_asked_for():
    assert twolayernet.network.__dict__.get("torch") is None
