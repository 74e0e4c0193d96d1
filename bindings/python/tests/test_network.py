"""Networks: parameters, predictions, errors."""

import numpy as np
import pytest

import twolayernet
from twolayernet import Network, TwoLayerNetError


@pytest.fixture
def network():
    return Network(6, 5, 3, seed=1)


def test_sizes_and_parameters(network):
    assert (network.input_size, network.hidden_size, network.output_size) == (6, 5, 3)
    assert network.device in ("cpu", "cuda", "mps")
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert shapes == {name: network.parameter_shape(name) for name in Network.PARAMETERS}


def test_same_seed_same_network():
    one, two, other = Network(6, 5, 3, seed=1), Network(6, 5, 3, seed=1), Network(6, 5, 3, seed=2)
    for name in Network.PARAMETERS:
        assert np.array_equal(one.parameter(name), two.parameter(name))
        assert not np.array_equal(one.parameter(name), other.parameter(name))
    negative, wrapped = Network(6, 5, 3, seed=-1), Network(6, 5, 3, seed=2**64 - 1)
    assert np.array_equal(negative.parameter("layers.0.bias"), wrapped.parameter("layers.0.bias"))


def test_predictions_agree_with_numpy(network):
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=network.parameter_shape(name)) for name in Network.PARAMETERS}
    network.load_state_dict(state)
    x = rng.normal(size=(40, 6))
    hidden = np.maximum(x @ state["layers.0.weight"].T + state["layers.0.bias"], 0)
    logits = hidden @ state["layers.2.weight"].T + state["layers.2.bias"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(network.logits(x), logits, atol=1e-5)
    assert np.allclose(network.probabilities(x), shares, atol=1e-6)
    assert np.array_equal(network.predict(x), logits.argmax(axis=1))


def test_every_layout_of_features_gives_the_same(network):
    x = np.random.default_rng(1).integers(0, 256, (8, 6), dtype=np.uint8)
    expected = network.logits(x)
    floats = x.astype(np.float32) / np.float32(255)
    for same in [floats, floats[::-1][::-1], np.asfortranarray(floats), floats.reshape(8, 2, 3), floats.tolist()]:
        assert np.array_equal(network.logits(same), expected)
    big_endian = floats.astype(">f4")
    assert np.array_equal(network.logits(big_endian), expected)


@pytest.mark.parametrize(
    "features, error, word",
    [
        (np.zeros((2, 7), np.float32), ValueError, "7 columns"),
        (np.zeros(6, np.float32), ValueError, "shape"),
        (np.zeros((0, 6), np.float32), ValueError, "empty"),
        (np.zeros((2, 6), np.int64), TypeError, "ambiguous"),
        (np.array([["a"] * 6]), TypeError, "numbers"),
        (np.full((2, 6), np.nan, np.float32), TwoLayerNetError, "not finite"),
    ],
)
def test_wrong_features_are_refused(network, features, error, word):
    with pytest.raises(error, match=word):
        network.predict(features)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, -1, 1), (1, 1, 2**62)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(TwoLayerNetError, match="_size") as caught:
        Network(*sizes)
    assert caught.value.status == 1 and caught.value.status_name == "TLN_INVALID_ARGUMENT"


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="64 bits"):
        Network(2**63)
    with pytest.raises(TypeError, match="input_size"):
        Network(1.5)
    for device in ["tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1:1", "cpu:0", "auto:1", "cuda:99999999999"]:
        with pytest.raises(ValueError, match="device"):
            Network(device=device)
    with pytest.raises(ValueError, match="threads"):
        Network(threads=-1)
    with pytest.raises(ValueError, match="NUL"):
        Network.load("a\0b.pth")
    network = Network(2, 2, 2)
    with pytest.raises(KeyError, match=r"layers\.9"):
        network.parameter("layers.9")
    with pytest.raises(ValueError, match="shape"):
        network.set_parameter("layers.0.bias", [1, 2, 3])
    with pytest.raises(TwoLayerNetError, match="finite"):
        network.set_parameter("layers.0.bias", [1, np.inf])


def test_devices():
    assert twolayernet.resolve_device() in ("cpu", "cuda", "mps")
    cpu = twolayernet.describe_device("cpu")
    assert cpu.available and cpu.threads >= 1 and cpu.reason == ""
    for name in ["cuda", "mps"]:
        info = twolayernet.describe_device(name)
        if not info.available:
            with pytest.raises(TwoLayerNetError, match=name) as caught:
                twolayernet.resolve_device(name)
            assert caught.value.status_name == "TLN_NO_DEVICE" and info.reason in str(caught.value)


def test_files(network, tmp_path):
    for name in ["a.pth", "b.pt", "c.safetensors", "ü 数字.pth"]:
        network.save(tmp_path / name)
        for copy in [Network.load(tmp_path / name), Network.from_bytes((tmp_path / name).read_bytes())]:
            for parameter in Network.PARAMETERS:
                assert np.array_equal(copy.parameter(parameter), network.parameter(parameter))
    for name, status in [("a.onnx", "TLN_UNSUPPORTED"), ("nowhere/a.pth", "TLN_IO_ERROR")]:
        with pytest.raises(TwoLayerNetError) as caught:
            network.save(tmp_path / name)
        assert caught.value.status_name == status
    with pytest.raises(TwoLayerNetError) as caught:
        Network.from_bytes(b"")
    assert caught.value.status_name == "TLN_BAD_FILE"
