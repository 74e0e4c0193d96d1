"""The article's network as a PyTorch module, and the way back. Imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import torch
except ImportError as error:
    raise ImportError(f"to_torch and from_torch need PyTorch (pip install torch): {error}") from None

# Layers that change nothing about what Linear, ReLU, Linear computes.
_IDLE = (torch.nn.Flatten, torch.nn.Identity)
_NEUTRAL = (*_IDLE, torch.nn.ReLU)


class TwoLayerNet(torch.nn.Module):
    """Linear -> ReLU -> Linear with the article's names of the parameters."""

    def __init__(self, input_size: int = 784, hidden_size: int = 100, output_size: int = 10) -> None:
        super().__init__()
        self.flatten = torch.nn.Flatten()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(input_size, hidden_size),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden_size, output_size),
        )

    def forward(self, x: Any) -> Any:
        """Logits [rows, output_size] of float32 features [rows, ...]."""
        return self.layers(self.flatten(x))

    @classmethod
    def of(cls, state: Mapping[str, npt.NDArray[np.float32]]) -> TwoLayerNet:
        """A module with these parameters, without touching PyTorch's generator."""
        hidden_size, input_size = state["layers.0.weight"].shape
        with torch.random.fork_rng(devices=[]):
            module = cls(input_size, hidden_size, len(state["layers.2.bias"]))
        module.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
        return module


def parameters_of(module: Any) -> dict[str, npt.NDArray[np.float32]]:
    """The parameters of a module of this shape, by the article's names."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"from_torch takes a torch.nn.Module, not {type(module).__name__}")
    leaves = [layer for layer in module.modules() if not list(layer.children())]
    linear = [layer for layer in leaves if isinstance(layer, torch.nn.Linear)]
    others = [layer for layer in leaves if not isinstance(layer, (torch.nn.Linear, *_NEUTRAL))]
    is_wrong = bool(others) or len(linear) != 2 or len(list(module.parameters())) != 4
    if all(isinstance(part, torch.nn.Sequential) for part in module.modules() if list(part.children())):
        # Here the layers run in the order in which they stand; elsewhere only the author knows.
        kinds = [isinstance(leaf, torch.nn.Linear) for leaf in leaves if not isinstance(leaf, _IDLE)]
        is_wrong = is_wrong or kinds != [True, False, True]
    if is_wrong:
        layers = ", ".join(type(layer).__name__ for layer in leaves)
        raise ValueError(
            f"the module must be Linear, ReLU, Linear, each Linear with a bias, but its layers are {layers}"
        )
    first, second = linear
    if second.in_features != first.out_features:
        raise ValueError(
            f"the second Linear takes {second.in_features} features, but the first gives {first.out_features}"
        )
    tensors = [first.weight, first.bias, second.weight, second.bias]
    names = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous().numpy()
        for name, tensor in zip(names, tensors)
    }
