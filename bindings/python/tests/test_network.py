"""Networks: parameters, predictions, errors."""

import errno
import os
import pickle

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


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "i8", ">i8", "u8", "f2", "f8", "g"])
def test_other_numbers_are_the_floats_that_they_are(network, dtype):
    """Only bytes are divided by 255."""
    x = np.random.default_rng(1).integers(0, 2, (8, 6))
    expected = network.logits(x.astype(np.float32))
    assert np.array_equal(network.logits(x.astype(dtype)), expected)
    assert np.array_equal(network.logits(x.astype(dtype).tolist()), expected)
    assert np.array_equal(twolayernet.Dataset(x.astype(dtype)).features(), x)


class Sparse:
    """As SciPy's matrices are: no array, but something that can become one."""

    def toarray(self):
        return np.zeros((2, 6))


@pytest.mark.parametrize(
    "features, error, word",
    [
        (np.zeros((2, 7), np.float32), ValueError, "7 columns"),
        (np.zeros(6, np.float32), ValueError, r"shape is \(6,\): for a single sample reshape\(1, -1\)"),
        (np.zeros((0, 6), np.float32), ValueError, "empty"),
        (np.zeros((2, 6), complex), TypeError, "complex128"),
        (np.full((2, 6), None), TypeError, r"Python objects: .* astype\('float32'\)"),
        (None, TypeError, "not NoneType$"),
        (Sparse(), TypeError, r"not Sparse: \.toarray\(\)"),
        (np.ma.masked_greater(np.eye(6), 0.5), ValueError, r"masked: .*\.filled\(0\)"),
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


@pytest.mark.parametrize("data", [5, 2**40, "text", [1, 2], None])
def test_bytes_are_bytes(data):
    with pytest.raises(TypeError, match=f"bytes of a file, not {type(data).__name__}"):
        Network.from_bytes(data)


@pytest.mark.parametrize(
    "wrong, error, word",
    [
        (3, TypeError, "mapping"),
        ({}, KeyError, "none"),
        ({"layers.2.bias": [1, 2, 3]}, ValueError, "shape"),
        ({"layers.2.bias": ["a", "b"]}, TypeError, "numbers"),
        ({"layers.2.bias": [1, np.nan]}, ValueError, "finite"),
        ({"more": [1]}, KeyError, "more"),
    ],
)
def test_a_wrong_state_replaces_nothing(wrong, error, word):
    network = Network(3, 2, 2)
    before = network.state_dict()
    state = wrong
    if wrong and isinstance(wrong, dict):
        state = {**{name: values + 1 for name, values in before.items()}, **wrong}
    with pytest.raises(error, match=word):
        network.load_state_dict(state)
    assert all(np.array_equal(network.parameter(name), values) for name, values in before.items())


def test_files_that_are_not_there_are_pythons_own_errors(network, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.pth") as caught:
        Network.load(tmp_path / "missing.pth")
    assert isinstance(caught.value, (TwoLayerNetError, OSError)) and caught.value.status_name == "TLN_IO_ERROR"
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is twolayernet.MissingFileError and str(again) == str(caught.value)
    assert caught.value.errno == again.errno == errno.ENOENT
    with pytest.raises(FileNotFoundError, match="nowhere"):
        network.save(tmp_path / "nowhere/a.pth")
    with pytest.raises(FileNotFoundError, match="missing"):
        twolayernet.Dataset.open_idx(tmp_path / "missing")
    if os.geteuid() != 0:
        (tmp_path / "closed.pth").touch(mode=0)
        with pytest.raises(PermissionError, match="closed"):
            Network.load(tmp_path / "closed.pth")
    with pytest.raises(OSError, match="regular file") as other:
        Network.load(tmp_path)
    assert type(other.value) is twolayernet.InputOutputError


def test_the_module_lists_what_is_for_users():
    names = [name for name in dir(twolayernet) if not name.startswith("__")]
    assert set(twolayernet.__all__) - {"__version__"} == set(names) - {"TwoLayerNetClassifier", "plots"}


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
