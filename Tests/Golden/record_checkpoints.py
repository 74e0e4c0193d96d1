#!/usr/bin/env python3
"""Records checkpoint files of one PyTorch version, and what they hold, into checkpoints/ beside this
file.

    OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 python record_checkpoints.py

Recorded were 1.13.0 (Debian 12), 2.1.2 and 2.13.0 (PyPI), each into the directory of its version. The
streams are not the same in every run: PyTorch names their storages after addresses in memory.
"""
import collections
import json
import pathlib
import warnings
import zipfile

import torch
from torch import nn

try:
    import safetensors.torch
except ImportError:  # Debian 12 has none
    safetensors = None

VERSION = torch.__version__.split("+")[0].split("a")[0]
TARGET = pathlib.Path(__file__).parent / "checkpoints" / f"torch-{VERSION}"


class Network(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x):
        return self.layers(self.flatten(x))


def hexadecimal(tensor):
    return tensor.detach().float().contiguous().numpy().astype("<f4").tobytes().hex()


def trained(steps, **options):
    """A small network after some steps on fixed data, with its optimiser."""
    torch.manual_seed(0)
    model = Network(7, 3, 2)
    optimizer = torch.optim.SGD(model.parameters(), **options)
    x, y = torch.arange(35.0).view(5, 7) / 10, torch.tensor([0, 1, 0, 1, 1])
    for _ in range(steps):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(x), y).backward()
        optimizer.step()
    return model, optimizer


def checkpoint(steps, epoch, **options):
    model, optimizer = trained(steps, **options)
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}


def renamed(state):
    names = {"layers.0.": "fc1.", "layers.2.": "fc2."}
    return {next(new + k[len(old) :] for old, new in names.items() if k.startswith(old)): v for k, v in state.items()}


def views(state):
    """The same values as slices of one storage: with offsets, transposed, with steps."""
    w1, b1, w2, b2 = state.values()
    shared = torch.zeros(200)
    hidden = shared[3:24].view(7, 3).t()
    output = shared[30:42].view(2, 6)[:, ::2]
    bias = shared[50:56:2]
    for view, values in [(hidden, w1), (bias, b1), (output, w2), (shared[60:62], b2)]:
        view.copy_(values)
    return collections.OrderedDict(zip(state, [hidden, bias, output, shared[60:62]]))


def deflated(source, target):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    TARGET.mkdir(parents=True, exist_ok=True)
    model, _ = trained(0, lr=0.1)
    state = model.state_dict()
    save = lambda value, name, **options: torch.save(value, str(TARGET / name), **options)
    stream = {"_use_new_zipfile_serialization": False}
    save(state, "network.pth")
    save(state, "network.stream.pth", **stream)
    with open(TARGET / "network.archive.pth", "wb") as file:
        torch.save(state, file)
    save(dict(state), "dictionary.pth")
    save({"module." + name: value for name, value in state.items()}, "prefixed.pth")
    save({"epoch": 3, "state_dict": nn.DataParallel(model).state_dict(), "best": 0.5}, "nested.pth")
    save({"model_state_dict": state, "losses": [0.5] * 100, "note": "ä"}, "model_state_dict.pth")
    save(renamed(state), "renamed.pth")
    save(views(state), "views.pth")
    save({name: nn.Parameter(value) for name, value in state.items()}, "parameters.pth")
    save(state, "protocol4.pth", pickle_protocol=4)
    for type in (torch.float16, torch.bfloat16, torch.float64):
        name = str(type).split(".")[1]
        save({key: value.to(type) for key, value in state.items()}, f"{name}.pth")
    save(model, "module.pth")
    deflated(TARGET / "network.pth", TARGET / "deflated.pth")
    if safetensors:
        safetensors.torch.save_file(state, str(TARGET / "network.safetensors"))
        safetensors.torch.save_file(state, str(TARGET / "metadata.safetensors"), {"a\n": 'ä"\\\U0001f600'})
    checkpoints = {
        "begun.pth": checkpoint(0, 0, lr=0.1, momentum=0.9),
        "trained.pth": checkpoint(3, 2, lr=0.1, momentum=0.9),
        "options.pth": checkpoint(2, 70000, lr=0.05, momentum=0.8, weight_decay=1e-3, nesterov=True),
        "dampened.pth": checkpoint(2, 1, lr=0.05, momentum=0.8, dampening=0.25, maximize=True),
        "plain.pth": checkpoint(2, 1, lr=0.05),
    }
    for name, value in checkpoints.items():
        save(value, name)
    save(checkpoints["trained.pth"], "trained.stream.pth", **stream)
    expected = {
        "torch": torch.__version__,
        "network": {name: hexadecimal(value) for name, value in state.items()},
        "checkpoints": {
            name: {
                "epoch": value["epoch"],
                "model": [hexadecimal(tensor) for tensor in value["model"].values()],
                "momentum": [
                    hexadecimal(entry["momentum_buffer"])
                    for entry in value["optimizer"]["state"].values()
                    if entry.get("momentum_buffer") is not None
                ],
            }
            for name, value in checkpoints.items()
        },
    }
    (TARGET / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(VERSION, sum(path.stat().st_size for path in TARGET.iterdir()), "bytes")


if __name__ == "__main__":
    main()
