"""twolayernet test: the numbers beside the article's line, counted independently."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from program import Run, refusal


@pytest.fixture
def expected(run: Run, digits_model: Path, digits: Path) -> np.ndarray:
    """The confusion matrix of the embedded test images, from predictions one by one."""
    images = np.frombuffer((digits / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    labels = np.frombuffer((digits / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    numbers = (images / np.float32(255)).astype(np.float32).tobytes()
    answers = run("predict", "--model", digits_model, "--json", stdin=numbers).stdout.splitlines()
    counts = np.zeros((10, 10), int)
    for label, answer in zip(labels, answers):
        counts[label, json.loads(answer)["label"]] += 1
    assert counts.sum() == len(labels) == len(answers)
    return counts


def test_confusion_as_json(run: Run, digits_model: Path, digits: Path, expected: np.ndarray) -> None:
    arguments = ("--model", digits_model, "--data", digits, "--json")
    found = json.loads(run("test", *arguments, "--confusion").stdout)
    assert found["confusion"] == expected.tolist()
    assert found["correct"] == np.trace(expected) and found["images"] == 360
    assert found["accuracy"] == np.trace(expected) / 360
    right = np.diag(expected)
    assert np.allclose(found["precision"], right / expected.sum(axis=0))
    assert np.allclose(found["recall"], right / expected.sum(axis=1))
    assert "confusion" not in json.loads(run("test", *arguments).stdout)


def test_confusion_as_a_table(run: Run, digits_model: Path, expected: np.ndarray) -> None:
    plain = run("test", "--model", digits_model).stdout
    result = run("test", "--model", digits_model, "--confusion").stdout
    assert result.startswith(plain)
    rows = re.findall(r"^ +(\d) +((?:\d+ +){10})\S+ % +\S+ %$", result, re.MULTILINE)
    assert [[int(n) for n in row.split()] for _, row in rows] == expected.tolist()


def test_the_dataset_is_found_by_the_networks_inputs(run: Run, digits_model: Path) -> None:
    result = run("test", "--model", digits_model)
    assert "360 test images" in result.stdout and "embedded digits" in result.stderr


def test_a_file_that_is_no_network(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "b.pth").write_bytes(b"\x80\x02}q\x00.")
    for name in ["a.npz", "b.pth"]:
        assert name in refusal(run("test", "--model", name, "--dataset", "digits", code=1))


def test_only_a_network_that_is_not_there_can_be_made(run: Run, digits_model: Path) -> None:
    message = refusal(run("test", "--dataset", "digits", "--model", "missing.pth", code=1))
    assert message.endswith("No such file or directory; 'twolayernet train' makes one")
    message = refusal(run("test", "--dataset", "digits", "--model", digits_model / "a.pth", code=1))
    assert message.endswith("Not a directory")
