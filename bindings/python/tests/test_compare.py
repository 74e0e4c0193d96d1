"""python -m twolayernet.compare, with results recorded from PyTorch in PyTorch's place."""

import json

import numpy as np
import pytest

from twolayernet.compare import __main__ as program
from twolayernet.compare import data, recorded
from twolayernet.compare.report import Comparison
from twolayernet.compare.run import Difference, Run, first_difference, printed_lines


def compare(directory, output, *arguments):
    options = ["--data", str(directory), "--output", str(output), "--recorded", *arguments]
    return program.main(options)


@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_recorded_digits_are_the_same(enlarged_digits, tmp_path, capsys, epochs, threads):
    status = compare(enlarged_digits, tmp_path, "--epochs", str(epochs), "--threads", str(threads))
    table = capsys.readouterr().out
    assert status == 0, table
    assert "the same bytes" in table and "the same losses, to the bit" in table
    assert (tmp_path / "comparison.md").read_text() == table
    result = json.loads((tmp_path / "comparison.json").read_text())
    assert result["same"] and result["same_file"] and result["first_difference"] is None
    lines = (tmp_path / "twolayernet/output.txt").read_text().splitlines()
    assert result["pytorch"]["lines"] == lines == result["twolayernet"]["lines"]
    assert len(lines) == epochs + 3 and lines[epochs : epochs + 2] == ["Finished", "cpu"]
    assert (tmp_path / "twolayernet/mnist.pth").exists()


@pytest.mark.parametrize("seed, epochs", [(0, 2), (42, 25)])
def test_recorded_mnist_is_the_same(mnist, seed, epochs, tmp_path, capsys):
    if not any(one["data_sha256"] == data.identity(mnist) for one in recorded.recordings()):
        pytest.skip("results are recorded for MNIST, which is not on this machine")
    status = compare(mnist, tmp_path, "--seed", str(seed), "--epochs", str(epochs))
    assert status == 0, capsys.readouterr().out


def test_what_is_not_recorded(enlarged_digits, digits, tmp_path, capsys):
    assert compare(enlarged_digits, tmp_path, "--seed", "12") == 2
    assert "recorded for the seeds 0 (up to 3 epochs)" in capsys.readouterr().err
    assert compare(enlarged_digits, tmp_path, "--epochs", "4") == 2
    capsys.readouterr()
    assert compare(digits, tmp_path) == 2
    assert "which this data is not" in capsys.readouterr().err
    assert compare(tmp_path / "nowhere", tmp_path) == 2
    assert "lack MNIST's files" in capsys.readouterr().err


def test_the_plot(enlarged_digits, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert compare(enlarged_digits, tmp_path, "--epochs", "2", "--plot", str(tmp_path / "a.png")) == 0
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_recordings_hold_together():
    """The printed lines are those of the recorded losses, as far as these are there."""
    names = {one["data"] for one in recorded.recordings()}
    assert "MNIST" in names
    for one in recorded.recordings():
        run = recorded.run(one["data_sha256"], one["seed"], len(one["epochs"]))
        assert run.lines[0] == printed_lines(run.losses, run.steps_per_epoch)[0]
        assert Run.summarize(run.losses, run.steps_per_epoch)[0] == run.losses_sha256[:1]
        assert run.epochs == len(run.mean_losses) == len(run.losses_sha256) == len(run.lines) - 3


def run_of(losses, steps, known=None, lines=(), file="a"):
    losses = np.array(losses, np.float32)
    hashes, means = Run.summarize(losses, steps)
    return Run("a", list(lines), losses[:known], steps, hashes, means, file, 1.0)


def test_first_difference():
    losses = np.linspace(1, 2, 12)
    changed = losses.copy()
    changed[7] = np.nextafter(np.float32(changed[7]), np.float32(3))
    same, other = run_of(losses, 4), run_of(changed, 4)
    assert first_difference(same, run_of(losses, 4)) is None
    assert first_difference(same, other) == Difference(2, 4)
    # Of which only the first epoch's losses are recorded.
    assert first_difference(same, run_of(changed, 4, known=4)) == Difference(2, None)
    changed[2] += 1
    assert str(first_difference(same, run_of(changed, 4, known=4))) == "epoch 1, step 3"


def test_differences_are_shown():
    lines = [f"line {number}" for number in range(30)]
    ours = run_of([1, 2, 3, 4], 2, lines=lines)
    other = run_of([1, 2, 3, 5], 2, lines=[*lines[:20], "changed", *lines[21:]], file="b")
    same = Comparison(ours, run_of([1, 2, 3, 4], 2, lines=lines))
    assert same.is_same and "more lines, the same" in same.table() and "differs" not in same.table()
    different = Comparison(other, ours)
    assert not different.is_same
    table = different.table()
    assert "differs" in table and "part at epoch 2, step 2" in table and "other bytes" in table
    # Lines alone, losses alone and the file alone are enough.
    for part in ["lines", "losses", "file"]:
        kept = {
            "lines": lines if part != "lines" else lines[:-1],
            "losses": [1, 2, 3, 4] if part != "losses" else [1, 2, 4, 4],
            "file": "a" if part != "file" else "b",
        }
        assert not Comparison(run_of(kept["losses"], 2, lines=kept["lines"], file=kept["file"]), ours).is_same


def test_printed_lines_are_sums_since_the_last():
    losses = np.ones(1300, np.float32)
    assert printed_lines(losses, 1300) == [
        "epoch=1, loss=1.00000", "epoch=1, loss=600.00000", "epoch=1, loss=600.00000", "Finished"
    ]
    assert printed_lines(losses[:4], 2) == ["epoch=1, loss=1.00000", "epoch=2, loss=1.00000", "Finished"]
