"""Runs one of the article's scripts as it is, and writes down the losses it computes.

A program of its own, started by pytorch.py in the directory in which the script shall find data/ and
leave mnist.pth. It adds what the script leaves open (the seed, the number of epochs and of threads) and
listens at `CrossEntropyLoss`; the arithmetic is the script's.
"""

import argparse
import json
import pathlib
import re
import time
from typing import Any


def main() -> None:
    """Arguments: the script, and how to run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=pathlib.Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--record", type=pathlib.Path, required=True, help="the JSON file to write")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    losses: list[float] = []
    times: list[float] = []
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(arguments.script)}

    class ObservedLoss(torch.nn.CrossEntropyLoss):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            loss = super().forward(*inputs)
            losses.append(loss.item())
            times.append(time.perf_counter())
            return loss

    torch.nn.CrossEntropyLoss = ObservedLoss
    source = arguments.script.read_text()
    source = re.sub(r"^EPOCHS = 25$", f"EPOCHS = {arguments.epochs}", source, flags=re.MULTILINE)

    torch.manual_seed(arguments.seed)
    begin = time.perf_counter()
    exec(compile(source, str(arguments.script), "exec"), namespace)
    record = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "kernels": getattr(torch.backends, "cpu", None) and torch.backends.cpu.get_cpu_capability(),
        "losses": losses,
        "seconds": time.perf_counter() - begin,
        "seconds_between_first_and_last_step": times[-1] - times[0] if times else 0.0,
    }
    arguments.record.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
