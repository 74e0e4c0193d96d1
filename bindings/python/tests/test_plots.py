"""The pictures."""

import json

import numpy as np
import pytest

from twolayernet import Dataset, Network, Trainer

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
matplotlib.use("Agg")

from matplotlib import pyplot as plt

from twolayernet import plots


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def trained(digits):
    network = Network(64, 30, 10)
    Trainer(network).fit(Dataset.open_mnist(digits), 5)
    return network, Dataset.open_mnist(digits, train=False)


def lines(axes):
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}


def test_curves_of_numbers(tmp_path):
    figure = plots.curves({"training loss": [3, 2, 1], "test loss": [3, 2.5], "test accuracy": [0.5, 0.75]})
    loss, accuracy = figure.axes
    assert lines(loss) == {"training loss": [3, 2, 1], "test loss": [3, 2.5]}
    assert lines(accuracy) == {"test accuracy": [0.5, 0.75]}
    assert (loss.get_xlabel(), loss.get_ylabel(), accuracy.get_ylabel()) == ("epoch", "loss", "accuracy")
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="no finished epoch"):
        plots.curves({"loss": []})
    with pytest.raises(TypeError, match="history"):
        plots.curves(3)


def test_curves_of_a_log(tmp_path):
    log = tmp_path / "run.jsonl"
    events = [{"event": "start", "epochs": 2}]
    events += [{"event": "epoch", "loss": loss, "test_accuracy": 0.9} for loss in (0.5, None)]
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    loss, accuracy = plots.curves(log).axes
    assert lines(loss)["training loss"][0] == 0.5 and np.isnan(lines(loss)["training loss"][1])
    assert lines(accuracy) == {"test accuracy": [0.9, 0.9]}
    log.write_text('{"event": "epoch", "loss": 1}\nno JSON\n')
    with pytest.raises(ValueError, match="line 2"):
        plots.curves(log)


def test_curves_of_a_classifier():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from twolayernet import TwoLayerNetClassifier

    features = np.random.default_rng(0).normal(size=(100, 4))
    own = TwoLayerNetClassifier(8, epochs=4, early_stopping=True).fit(features, features[:, 0] > 0)
    loss, accuracy = plots.curves(own).axes
    assert lines(loss) == {"training loss": own.loss_curve_, "validation loss": own.validation_losses_}
    assert lines(accuracy) == {"validation accuracy": own.validation_scores_}
    assert len(plots.weights(own, (2, 2)).axes) == 9


def test_confusion(trained):
    network, test = trained
    axes = plots.confusion(test.labels(), network.predict(test.features()))
    numbers = sum(int(text.get_text()) for text in axes.texts)
    assert numbers == len(test)
    assert f"{100 * network.evaluate(test).accuracy:.2f} %" in axes.get_title()
    _, own = plt.subplots()
    assert plots.confusion([0, 1, 1], [0, 1, 0], classes=["cat", "dog"], ax=own) is own
    assert [tick.get_text() for tick in own.get_yticklabels()] == ["cat", "dog"]
    assert {text.get_text() for text in own.texts} == {"1"}


def test_confusion_of_names():
    """Such as a classifier's labels are."""
    labels = np.array(["cat", "dog", "dog", "eel"])
    axes = plots.confusion(labels, ["cat", "dog", "cat", "eel"])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "dog", "eel"]
    assert axes.get_title() == "75.00 % of 4 right"
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "1", (0, 1): "1", (1, 1): "1", (2, 2): "1"
    }  # fmt: skip
    axes = plots.confusion(labels.astype(object), labels, classes=["eel", "dog", "cat", "ant"])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["eel", "dog", "cat", "ant"]
    assert {text.get_position() for text in axes.texts} == {(0, 0), (1, 1), (2, 2)}
    assert plots.confusion([True, False], [True, True]).get_title() == "50.00 % of 2 right"


@pytest.mark.parametrize(
    "labels, predicted, classes, error, word",
    [
        ([0, 1], [0], None, ValueError, "one shape"),
        ([], [], None, ValueError, "one shape"),
        ([0, -1], [0, 0], None, ValueError, "negative"),
        ([0.5, 1], [0, 0], None, TypeError, "integers"),
        ([0, 2], [0, 0], ["a", "b"], ValueError, "3 classes"),
        (["a", "b"], ["a", "c"], ["a", "b"], ValueError, "'c', which is none"),
        (["a", "b"], [0, 1], ["a", "b"], ValueError, "'0', which is none"),
        ([None, "b"], ["a", "b"], None, TypeError, "object"),
    ],
)
def test_wrong_labels_are_refused(labels, predicted, classes, error, word):
    with pytest.raises(error, match=word):
        plots.confusion(labels, predicted, classes=classes)


def test_weights(trained):
    network, _ = trained
    figure = plots.weights(network)
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(drawn) == 30
    assert np.array_equal(np.stack(drawn).reshape(30, 64), network.parameter("layers.0.weight"))
    assert sum(bool(axes.images) for axes in plots.weights(network, (4, 16), count=7).axes) == 7
    with pytest.raises(ValueError, match="5 x 5"):
        plots.weights(network, (5, 5))
    with pytest.raises(ValueError, match="no square"):
        plots.weights(Network(3))
    with pytest.raises(TypeError, match="Network"):
        plots.weights("mnist.pth")


def test_mistakes(trained):
    network, test = trained
    figure = plots.mistakes(network, test, count=6)
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert len(titles) == 6
    sureness = [float(title.split(", ")[1].split()[0]) for title in titles]
    assert sureness == sorted(sureness, reverse=True)
    assert all(title.split(" as ")[0] != title.split(" as ")[1].split(",")[0] for title in titles)
    right = Dataset(test.features(), network.predict(test.features()))
    assert [text.get_text() for text in plots.mistakes(network, right).texts] == ["no mistakes"]
