"""PyTorch on a card, as fast as it gets: cuda_torch.py DATA.npz [--mnist DIRECTORY] [--device cpu] [--quick]

The data are on the card, and an epoch is one CUDA graph. Also the products of a step of 784-4096-10 with 8192
rows by cuBLAS in float32, and the article's script. Prints a line of JSON for each result: seconds. On the cpu,
without a graph, the program can be tried where there is no card.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn

torch.backends.cuda.matmul.allow_tf32 = False
BATCH = 100


def seconds(work, device, rounds=5):
    """The median of some rounds, by the card's own clock."""
    times = []
    for _ in range(rounds):
        if device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e-3)
        else:
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def tuned_epochs(x, y, device):
    """An epoch of the article's training: by autograd with two of PyTorch's optimizers, and by hand."""
    model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)).to(device)
    order = torch.randperm(len(x), device=device)

    def measure(step):
        def epoch(steps):
            for number in range(steps):
                rows = order[number * BATCH : (number + 1) * BATCH]
                step(x[rows], y[rows])

        replay = captured(epoch, len(x) // BATCH) if device == "cuda" else lambda: epoch(len(x) // BATCH)

        def run():
            order.copy_(torch.randperm(len(x), device=device))
            replay()

        run()
        return seconds(run, device)

    def with_optimizer(name):
        return by_autograd(model, torch.optim.SGD(model.parameters(), 0.01, 0.9, **{name: True}))

    ways = {
        "foreach": lambda: with_optimizer("foreach"),
        "fused": lambda: with_optimizer("fused"),
        "by hand": lambda: by_hand([parameter.detach().clone() for parameter in model.parameters()]),
    }
    results = {}
    for name, way in ways.items():
        try:
            results[name] = measure(way())
        except (AttributeError, RuntimeError, TypeError) as error:
            print(f"this PyTorch cannot train {name}: {error}", file=sys.stderr)
    return results


def by_autograd(model, optimizer):
    criterion = nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        criterion(model(x), y).backward()
        optimizer.step()

    return step


def by_hand(parameters):
    """As few operations as PyTorch has for it."""
    w1, b1, w2, b2 = parameters
    momentum = [torch.zeros_like(parameter) for parameter in parameters]
    one = torch.full((BATCH, 1), -1.0, device=w1.device)
    sgd = {"momentum": 0.9, "lr": 0.01, "weight_decay": 0.0, "dampening": 0.0, "nesterov": False, "maximize": False}

    @torch.no_grad()
    def step(x, y):
        h = torch.addmm(b1, x, w1.t()).relu_()
        d = torch.addmm(b2, h, w2.t()).softmax(1).scatter_add_(1, y[:, None], one).mul_(1 / BATCH)
        d_h = torch.ops.aten.threshold_backward(d.mm(w2), h, 0)
        gradients = [d_h.t().mm(x), d_h.sum(0), d.t().mm(h), d.sum(0)]
        torch._fused_sgd_(parameters, gradients, momentum, is_first_step=False, **sgd)

    return step


def captured(epoch, steps):
    """An epoch as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        epoch(3)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        epoch(steps)
    return graph.replay


def products(device, quick):
    """The five products of a step."""
    rows, inputs, hidden, outputs = (64 if quick else 8192), 784, 4096, 10
    x, h, d = (torch.randn(rows, columns, device=device) for columns in [inputs, hidden, outputs])
    w1, w2 = torch.randn(hidden, inputs, device=device), torch.randn(outputs, hidden, device=device)

    def step():
        torch.mm(x, w1.T)
        torch.mm(h, w2.T)
        torch.mm(d, w2)
        torch.mm(d.T, h)
        torch.mm(h.T, x)

    step()
    return seconds(lambda: [step() for _ in range(20)], device) / 20


def article_epoch(directory, place):
    """An epoch of the article's script, which takes the card if PyTorch has one."""
    from twolayernet.compare import pytorch

    return pytorch.run(directory, 0, 1, place, torch.get_num_threads()).seconds_per_epoch


def tell(**result):
    print(json.dumps(result), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--mnist", type=pathlib.Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("this PyTorch has no CUDA")
    data = np.load(arguments.data)
    x = torch.from_numpy(data["x"]).to(device).float().div_(255)
    y = torch.from_numpy(data["y"].astype("int64")).to(device)
    tell(version=torch.__version__)
    for name, result in tuned_epochs(x, y, device).items():
        tell(**{f"tuned {name}": result})
    tell(products=products(device, arguments.quick))
    if arguments.mnist:
        with tempfile.TemporaryDirectory() as place:
            tell(article_epoch=article_epoch(arguments.mnist, pathlib.Path(place)))


if __name__ == "__main__":
    main()
