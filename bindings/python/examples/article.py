"""The article's story: train the two-layer network on MNIST, test it, keep it as PyTorch does, look at it.

python article.py --data DIRECTORY --epochs 25 --output FOLDER

The folder gets mnist.pth, and curves.png, confusion.png, weights.png and mistakes.png if matplotlib is
installed. With PyTorch installed too, the file is opened there and tested once more.
"""

from __future__ import annotations

import argparse
import pathlib
import time

import numpy as np

from twolayernet import Dataset, Network, Progress, Trainer, describe_device


def train(network: Network, training: Dataset, test: Dataset, epochs: int) -> dict[str, list[float]]:
    """Trains as the article does. Returns the curves."""
    trainer = Trainer(network, learning_rate=0.1, momentum=0.9, batch_size=100)
    curves: dict[str, list[float]] = {"training loss": [], "test loss": [], "test accuracy": []}

    def note(progress: Progress) -> None:
        if progress.step == progress.steps - 1:
            curves["training loss"].append(progress.mean_loss)

    for epoch in range(1, epochs + 1):
        trainer.fit(training, 1, note)
        result = network.evaluate(test)
        curves["test loss"].append(result.mean_loss)
        curves["test accuracy"].append(result.accuracy)
        loss = curves["training loss"][-1]
        print(f"epoch {epoch}: loss {loss:.5f}, test accuracy {100 * result.accuracy:.2f} %")
    return curves


def draw(network: Network, test: Dataset, curves: dict[str, list[float]], folder: pathlib.Path) -> None:
    """Draws what there is to see."""
    try:
        from twolayernet import plots
    except ImportError as missing:
        print(f"no pictures: {missing}")
        return
    import matplotlib.pyplot as plt

    plots.curves(curves).savefig(folder / "curves.png")
    figure, axes = plt.subplots(figsize=(6, 6), layout="constrained")
    plots.confusion(test.labels(), network.predict(test.features()), ax=axes)
    figure.savefig(folder / "confusion.png")
    plots.weights(network).savefig(folder / "weights.png")
    plots.mistakes(network, test).savefig(folder / "mistakes.png")
    print("pictures: curves.png, confusion.png, weights.png, mistakes.png")


def compare_with_pytorch(path: pathlib.Path, network: Network, test: Dataset) -> None:
    """Opens the file in PyTorch and compares the answers."""
    try:
        import torch
    except ImportError as missing:
        print(f"no comparison with PyTorch: {missing}")
        return
    module = network.to_torch()
    module.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        answers = module(torch.from_numpy(test.features())).argmax(dim=1).numpy()
    accuracy = np.mean(answers == test.labels())
    same = np.mean(answers == network.predict(test.features()))
    print(f"PyTorch {torch.__version__}: {100 * accuracy:.2f} %, {100 * same:.2f} % of the answers the same")


def main() -> None:
    """Runs the story."""
    parser = argparse.ArgumentParser(description="Train the article's network on MNIST.")
    parser.add_argument("--data", default="data", help="directory of MNIST's four files")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(), help="folder for the results")
    arguments = parser.parse_args()

    training = Dataset.open_mnist(arguments.data)
    test = Dataset.open_mnist(arguments.data, train=False)
    network = Network(training.shape[1], 100, 10, seed=0)
    print(f"device: {network.device}, {describe_device(network.device).name}")
    start = time.perf_counter()
    curves = train(network, training, test, arguments.epochs)
    print(f"{len(training)} images, {arguments.epochs} epochs: {time.perf_counter() - start:.1f} s")

    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "mnist.pth"
    network.save(path)
    accuracy = network.evaluate(test).accuracy
    print(f"Accuracy of the network on the {len(test)} test images: {100 * accuracy:.2f} %")
    draw(network, test, curves, arguments.output)
    compare_with_pytorch(path, network, test)


if __name__ == "__main__":
    main()
