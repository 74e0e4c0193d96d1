"""python -m twolayernet.compare with the PyTorch that is installed: the article's own scripts."""

import os
import random

import pytest

pytest.importorskip("torchvision")

from twolayernet.compare import __main__ as program, data, recorded

START = int(os.environ.get("TLN_TEST_SEED", "0"))


def compare(directory, output, *arguments):
    return program.main(["--data", str(directory), "--output", str(output), *map(str, arguments)])


@pytest.mark.parametrize("seed", [0, -1, 2**64 - 1, random.Random(START).randrange(2**64)])
def test_scripts_on_the_digits(seed, enlarged_digits, is_2_1_2, tmp_path, capsys):
    status = compare(enlarged_digits, tmp_path, "--seed", seed, "--epochs", 25)
    table = capsys.readouterr().out
    assert "PyTorch" in table and "recorded" not in table
    for name in ["output.txt", "mnist.pth"]:
        theirs, ours = ((tmp_path / side / name).read_bytes() for side in ("pytorch", "twolayernet"))
        assert (theirs == ours) or not is_2_1_2, name
    assert status == 0 or not is_2_1_2, table


def test_scripts_on_mnist(mnist, is_2_1_2, tmp_path, capsys):
    seed = random.Random(START + 1).randrange(2**32)
    status = compare(mnist, tmp_path, "--seed", seed, "--epochs", 1)
    assert status == 0 or not is_2_1_2, capsys.readouterr().out


def test_what_is_recorded_is_what_pytorch_does(enlarged_digits, is_2_1_2, tmp_path):
    if not is_2_1_2:
        pytest.skip("results of 2.1.2 are recorded")
    compare(enlarged_digits, tmp_path, "--epochs", 2)
    run = recorded.run(data.identity(enlarged_digits), 0, 2)
    assert run.lines == (tmp_path / "pytorch/output.txt").read_text().splitlines()
