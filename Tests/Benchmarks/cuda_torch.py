"""PyTorch on a card, as fast as it gets: cuda_torch.py DATA.npz [MNIST]

The data are on the card, and an epoch is one CUDA graph. Also the products of a step of 784-4096-10 with 8192
rows by cuBLAS in float32, and the article's script. Prints one line of JSON: seconds.
"""

import json
import pathlib
import statistics
import sys
import tempfile

import numpy as np
import torch
from torch import nn

torch.backends.cuda.matmul.allow_tf32 = False
BATCH = 100


def seconds(work, rounds=5):
    """The median of some rounds, by the card's own clock."""
    times = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3)
    return statistics.median(times)


def tuned_epoch(x, y):
    """An epoch of the article's training."""
    model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)).cuda()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, foreach=True)
    order = torch.randperm(len(x), device="cuda")

    def epoch(steps):
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            optimizer.zero_grad(set_to_none=True)
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        epoch(3)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        epoch(len(x) // BATCH)

    def run():
        order.copy_(torch.randperm(len(x), device="cuda"))
        graph.replay()

    run()
    return seconds(run)


def products():
    """The five products of a step."""
    rows, inputs, hidden, outputs = 8192, 784, 4096, 10
    x, h, d = (torch.randn(rows, columns, device="cuda") for columns in [inputs, hidden, outputs])
    w1, w2 = torch.randn(hidden, inputs, device="cuda"), torch.randn(outputs, hidden, device="cuda")

    def step():
        torch.mm(x, w1.T)
        torch.mm(h, w2.T)
        torch.mm(d, w2)
        torch.mm(d.T, h)
        torch.mm(h.T, x)

    step()
    return seconds(lambda: [step() for _ in range(20)]) / 20


def main():
    data = np.load(sys.argv[1])
    x = torch.from_numpy(data["x"]).cuda().float().div_(255)
    y = torch.from_numpy(data["y"].astype("int64")).cuda()
    result = {"version": torch.__version__, "tuned_epoch": tuned_epoch(x, y), "products": products()}
    if len(sys.argv) > 2:
        from twolayernet.compare import pytorch

        with tempfile.TemporaryDirectory() as place:
            run = pytorch.run(pathlib.Path(sys.argv[2]), 0, 1, pathlib.Path(place), torch.get_num_threads())
        result["article_epoch"] = run.seconds_per_epoch
    print(json.dumps(result))


if __name__ == "__main__":
    main()
