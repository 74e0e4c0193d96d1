"""Runs the article's two scripts in PyTorch, and this library, and shows them side by side.

Both take the same data and start from the same seed. Where PyTorch is not installed, recorded results of it
take its place.

Exits like cmp: 0 if everything is the same, 1 if something differs, 2 if the comparison failed.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

from .. import TwoLayerNetError
from . import data, library, plot, pytorch, recorded
from .report import Comparison


def positive(text: str) -> int:
    """A count of at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m twolayernet.compare", description=__doc__)
    parser.add_argument(
        "--data", type=pathlib.Path, default=pathlib.Path("data"), help="directory with MNIST's files (data)"
    )
    parser.add_argument("--seed", type=int, default=0, help="for torch.manual_seed (0)")
    parser.add_argument("--epochs", type=positive, default=25, help="epochs to train (25)")
    parser.add_argument("--threads", type=int, default=0, help="the library's threads (0: it chooses)")
    parser.add_argument(
        "--pytorch-threads", type=positive, default=1, help="PyTorch's; only 1 has the same bits (1)"
    )
    parser.add_argument("--recorded", action="store_true", help="take the recorded results in any case")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("comparison"),
        help="directory for what both print, both mnist.pth, the table and the plot (comparison)",
    )
    parser.add_argument("--plot", type=pathlib.Path, help="PNG of the loss curves (OUTPUT/losses.png)")
    return parser.parse_args(arguments)


def compare(arguments: argparse.Namespace) -> Comparison:
    """Both runs."""
    identity = data.identity(arguments.data)
    if pytorch.is_installed() and not arguments.recorded:
        theirs = pytorch.run(
            arguments.data,
            arguments.seed,
            arguments.epochs,
            arguments.output / "pytorch",
            arguments.pytorch_threads,
        )
    else:
        found = recorded.run(identity, arguments.seed, arguments.epochs)
        if found is None:
            reason = "" if arguments.recorded else "PyTorch and torchvision are not installed, and "
            raise LookupError(f"{reason}{recorded.choices(identity)}")
        theirs = found
    ours = library.run(
        arguments.data, arguments.seed, arguments.epochs, arguments.output / "twolayernet", arguments.threads
    )
    return Comparison(theirs, ours)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    arguments = parse(argv)
    if arguments.plot and not plot.is_possible():
        print("--plot needs matplotlib, which is not installed", file=sys.stderr)
        return 2
    try:
        comparison = compare(arguments)
        table = comparison.table()
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "comparison.md").write_text(table, encoding="utf-8")
        (arguments.output / "comparison.json").write_text(json.dumps(comparison.json(), indent=1) + "\n")
        if plot.is_possible():
            plot.draw(comparison, arguments.plot or arguments.output / "losses.png")
    except (LookupError, OSError, RuntimeError, TwoLayerNetError, ValueError) as error:
        print(f"twolayernet.compare: {error}", file=sys.stderr)
        return 2
    print(table, end="")
    return 0 if comparison.is_same else 1


if __name__ == "__main__":
    sys.exit(main())
