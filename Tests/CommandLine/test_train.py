"""twolayernet train: lines, files, options, and what happens when something is wrong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import Run, refusal

DIGITS = ("train", "--dataset", "digits")
# What PyTorch 2.1.2 prints for the article's script after torch.manual_seed(42).
SEED_42 = "epoch=1, loss=2.29705\nepoch=2, loss=0.07099\nepoch=3, loss=0.02584\nFinished\n"


def test_the_lines_are_the_articles(run: Run, mnist: Path) -> None:
    result = run("train", "--data", mnist, "--epochs", 3, "--seed", 42)
    assert result.stdout == SEED_42
    assert "accuracy 9" in result.stderr


def test_the_accuracy_is_the_articles(run: Run, images: tuple[Path, str]) -> None:
    directory, name = images
    run("train", "--data", directory, "--dataset", name, "--epochs", 4)
    result = run("test", "--data", directory, "--dataset", name, "--device", "cpu")
    device, accuracy = result.stdout.splitlines()
    assert device == "cpu"
    match = re.fullmatch(r"Accuracy of the network on the 10000 test images: (\d\d\.\d\d) %", accuracy)
    assert match and float(match[1]) > (96 if name == "mnist" else 83)


def test_embedded_digits_are_learned(run: Run, digits_model: Path) -> None:
    result = run("test", "--model", digits_model, "--dataset", "digits")
    match = re.search(r"on the 360 test images: (\S+) %\n$", result.stdout)
    assert match and float(match[1]) > 88


def test_a_line_every_600_steps(run: Run) -> None:
    result = run(*DIGITS, "--epochs", 2, "--batch-size", 2, "--lr", 0.01)
    lines = result.stdout.splitlines()
    # 719 steps in an epoch: one line for step 0, one for the sum of the 600 after it.
    assert [line.split(",")[0] for line in lines] == ["epoch=1"] * 2 + ["epoch=2"] * 2 + ["Finished"]
    sums = [float(line.split("=")[2]) for line in lines[:-1]]
    assert 2 < sums[0] < 3 and 50 < sums[1] < 1200


def test_the_same_seed_is_the_same_run(run: Run, tmp_path: Path) -> None:
    first = run(*DIGITS, "--epochs", 3, "--seed", 7, "--threads", 1)
    bits = (tmp_path / "mnist.pth").read_bytes()
    second = run(*DIGITS, "--epochs", 3, "--seed", 7, "--threads", 3)
    assert first.stdout == second.stdout
    assert (tmp_path / "mnist.pth").read_bytes() == bits
    assert run(*DIGITS, "--epochs", 3, "--seed", 8).stdout != first.stdout


def test_negative_seeds_are_twos_complement(run: Run) -> None:
    first = run(*DIGITS, "--epochs", 1, "--seed", -1)
    assert first.stdout == run(*DIGITS, "--epochs", 1, "--seed", 2**64 - 1).stdout


def test_quiet_means_quiet(run: Run) -> None:
    assert run(*DIGITS, "--epochs", 1, "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--foo"], "--foo"),
        (["extra"], "extra"),
        (["--epochs", "-1"], "--epochs"),
        (["--epochs", "many"], "--epochs"),
        (["--epochs", "9" * 30], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--batch-size", "-5"], "--batch-size"),
        (["--hidden", "0"], "--hidden"),
        (["--hidden", str(2**40)], "--hidden"),
        (["--lr", "nan"], "--lr"),
        (["--lr", "inf"], "--lr"),
        (["--lr", "1e39"], "--lr"),
        (["--lr", "-0.1"], "--lr"),
        (["--momentum", "nan"], "--momentum"),
        (["--seed", "1.5"], "--seed"),
        (["--seed", str(2**64)], "--seed"),
        (["--threads", "-1"], "--threads"),
        (["--threads", "5000"], "--threads"),
        (["--device", "tpu"], "--device"),
        (["--dataset", "imagenet"], "--dataset"),
        (["--output", "mnist.onnx"], "--output"),
        (["--validation", "1"], "--validation"),
        (["--patience", "3"], "--validation"),
        (["--lr-steps", "3,x"], "--lr-steps"),
        (["--save-every", "-1"], "--save-every"),
    ],
)
def test_wrong_usage(run: Run, tmp_path: Path, arguments: list[str], word: str) -> None:
    assert word in refusal(run("train", *arguments, code=64))
    assert list(tmp_path.iterdir()) == []


def test_an_absent_device_is_an_error_not_a_fallback(run: Run) -> None:
    absent = [json.loads(line) for line in run("devices", "--json").stdout.splitlines()]
    for device in (d for d in absent if not d["available"]):
        message = refusal(run(*DIGITS, "--device", device["device"], code=1))
        assert device["device"] in message and device["reason"] in message


def test_a_loss_that_is_not_finite_ends_training_and_keeps_the_old_file(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "mnist.pth").write_text("precious")
    result = run(*DIGITS, "--epochs", 3, "--lr", "1e30", code=1)
    assert re.search(r"epoch 1, step \d+", result.stderr.splitlines()[-1])
    assert "Finished" not in result.stdout
    assert (tmp_path / "mnist.pth").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["mnist.pth"]


@pytest.mark.parametrize("output", ["missing/mnist.pth", "/proc/mnist.pth", "directory.pth"])
def test_an_impossible_output_is_noticed_before_training(run: Run, tmp_path: Path, output: str) -> None:
    (tmp_path / "directory.pth").mkdir()
    refusal(run(*DIGITS, "--epochs", 100000, "--output", output, code=1))


def test_standard_output_that_cannot_be_written(program: Path, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [program, *DIGITS, "--epochs", "2"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert result.returncode == 1
    assert b"standard output" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_leaves_nothing_half_written(
    program: Path, tmp_path: Path, number: int
) -> None:
    (tmp_path / "mnist.pth").write_text("precious")
    with subprocess.Popen(
        [program, *DIGITS, "--epochs", "1000000"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout and child.stdout.readline().startswith("epoch=1,")
        time.sleep(0.2)
        child.send_signal(number)
        _, errors = child.communicate(timeout=20)
    assert child.returncode == 128 + number
    assert "interrupted" in errors and "nothing was saved" in errors
    assert [p.name for p in tmp_path.iterdir()] == ["mnist.pth"]
    assert (tmp_path / "mnist.pth").read_text() == "precious"


def test_a_signal_that_is_ignored_stays_so(program: Path, tmp_path: Path) -> None:
    command = 'trap "" HUP; exec "$0" train --dataset digits --epochs 300'
    with subprocess.Popen(
        ["sh", "-c", command, str(program)], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        assert child.stdout and child.stdout.readline().startswith("epoch=1,")
        child.send_signal(signal.SIGHUP)
        output, _ = child.communicate(timeout=30)
    assert child.returncode == 0 and output.endswith("Finished\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log(run: Run, tmp_path: Path) -> None:
    run(*DIGITS, "--epochs", 3, "--validation", 0.2, "--log", "run.jsonl")
    log = read_log(tmp_path / "run.jsonl")
    assert [line["event"] for line in log] == ["start", "epoch", "epoch", "epoch", "end"]
    assert log[0]["training_images"] == 1150 and log[0]["validation_images"] == 287
    assert [line["epoch"] for line in log[1:-1]] == [1, 2, 3]
    for line in log[1:-1]:
        assert 0 < line["validation_accuracy"] <= 1 and line["learning_rate"] == 0.1
    assert log[-1]["test_accuracy"] == log[-2]["test_accuracy"]


def test_the_log_is_in_the_manual(run: Run, tmp_path: Path) -> None:
    run(*DIGITS, "--epochs", 2, "--validation", 0.2, "--patience", 1, "--log", "run.jsonl")
    manual = Path(__file__).parents[2] / "Sources/CommandLineTool/README.md"
    text = manual.read_text()
    for line in read_log(tmp_path / "run.jsonl"):
        for member in line:
            assert f"`{member}`" in text, member


def test_learning_rate_steps(run: Run, tmp_path: Path) -> None:
    run(*DIGITS, "--epochs", 5, "--lr-steps", "2,4", "--lr-factor", 0.5, "--log", "run.jsonl")
    rates = [line["learning_rate"] for line in read_log(tmp_path / "run.jsonl")[1:-1]]
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025]


def test_early_stopping_keeps_the_best_network(run: Run, tmp_path: Path) -> None:
    run(*DIGITS, "--epochs", 500, "--validation", 0.3, "--patience", 3, "--log", "run.jsonl")
    log = read_log(tmp_path / "run.jsonl")
    losses = [line["validation_loss"] for line in log[1:-1]]
    best = int(np.argmin(losses)) + 1
    assert log[-1]["best_epoch"] == best and len(losses) == best + 3
    tested = run("test", "--dataset", "digits", "--json")
    assert json.loads(tested.stdout)["accuracy"] == log[best]["test_accuracy"]


def test_a_resumed_training_is_the_same_training(run: Run, tmp_path: Path) -> None:
    whole = run(*DIGITS, "--epochs", 6, "--output", "whole.pth").stdout
    first = run(*DIGITS, "--epochs", 4, "--save-every", 2, "--output", "part.pth").stdout
    state = "part.checkpoint.pth"
    second = run(*DIGITS, "--epochs", 6, "--resume", state, "--output", "part.pth").stdout
    assert first.replace("Finished\n", "") + second == whole
    assert run("test", "--model", "part.pth", "--dataset", "digits").stdout == (
        run("test", "--model", "whole.pth", "--dataset", "digits").stdout
    )


def test_a_resumed_log_begins_a_line_of_its_own(run: Run, tmp_path: Path) -> None:
    """A full disk may have cut off the last one."""
    run(*DIGITS, "--epochs", 2, "--save-every", 1, "--log", "run.jsonl")
    log = tmp_path / "run.jsonl"
    whole = log.read_text().splitlines(keepends=True)
    log.write_text("".join(whole[:2]) + whole[2][:30])
    run(*DIGITS, "--epochs", 3, "--resume", "mnist.checkpoint.pth", "--log", "run.jsonl")
    assert log.read_text().startswith("".join(whole[:2]))
    assert [line["event"] for line in read_log(log)] == ["start", "epoch", "start", "epoch", "end"]


@pytest.mark.parametrize("resumed", ["old.pth", "mnist.checkpoint.pth"])
def test_only_a_state_that_was_kept_is_named(
    run: Run, program: Path, tmp_path: Path, resumed: str
) -> None:
    run(*DIGITS, "--epochs", 3, "--save-every", 3)
    (tmp_path / "mnist.checkpoint.pth").rename(tmp_path / resumed)
    child = subprocess.Popen(
        [program, *DIGITS, "--epochs", "1000000", "--resume", resumed, "--save-every", "900000"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline().startswith("epoch=4,")
    child.send_signal(signal.SIGTERM)
    message = child.communicate(timeout=30)[1]
    assert child.returncode == 128 + signal.SIGTERM
    kept = resumed == "mnist.checkpoint.pth"
    assert ("the last kept state is mnist.checkpoint.pth" in message) == kept
    assert ("nothing was saved" in message) == (not kept)


def test_the_summary_says_what_was_done(run: Run) -> None:
    first = run(*DIGITS, "--epochs", 1, "--save-every", 1, "--threads", 1).stderr.splitlines()
    assert re.fullmatch(r"trained 1 epoch in \S+ s \(\S+ images/s\) on cpu: .*, 1 thread", first[-2])
    assert re.fullmatch(r"accuracy \S+ % on 360 test images; saved mnist.pth", first[-1])
    again = ("--resume", "mnist.checkpoint.pth")
    more = run(*DIGITS, "--epochs", 4, "--save-every", 1, *again).stderr.splitlines()
    assert more[-2].startswith("trained 3 more epochs, 4 in all, in ")
    result = run(*DIGITS, "--epochs", 4, *again)
    assert result.stdout == "Finished\n"
    assert result.stderr.splitlines()[0] == (
        "nothing to train: mnist.checkpoint.pth has 4 epochs, and --epochs is 4"
    )
    stopped = run(*DIGITS, "--epochs", 500, "--validation", 0.3, "--patience", 2).stderr.splitlines()
    assert re.search(r"; epoch \d+ was best; saved mnist.pth$", stopped[-1])


def test_resuming_from_something_else(run: Run, tmp_path: Path, digits_model: Path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    for file in ["missing.pth", "text.pth"]:
        assert file in refusal(run(*DIGITS, "--resume", file, code=1))
    message = refusal(run(*DIGITS, "--resume", digits_model, code=1))
    assert "no state of an optimiser" in message and "--save-every" in message
    message = refusal(run(*DIGITS, "--hidden", 3, "--resume", digits_model, code=1))
    assert "--hidden" in message
