"""The article's training script as it is, in PyTorch: one epoch, timed from its first step to its last.

A process of its own for each epoch, so what is timed is what it says of itself (`seconds`).
"""

import json
import pathlib
import sys
import tempfile

import torch
from twolayernet.compare import pytorch


def main() -> None:
    print(json.dumps({"name": "the article's script", "version": torch.__version__}), flush=True)
    directory = pathlib.Path(sys.argv[1])
    for line in sys.stdin:
        answer = {"seconds": 0.0}
        if json.loads(line)["task"] == "epoch":
            with tempfile.TemporaryDirectory() as place:
                run = pytorch.run(directory, 0, 1, pathlib.Path(place), torch.get_num_threads())
            answer = {"seconds": run.seconds_per_epoch}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
