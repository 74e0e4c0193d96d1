"""The example, run as its text says."""

import importlib.util
import os
import pathlib
import subprocess
import sys

EXAMPLE = pathlib.Path(__file__).resolve().parents[1] / "examples/article.py"


def run(*arguments, code=0):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, EXAMPLE, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert result.returncode == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def test_the_articles_story(digits, tmp_path):
    output = run("--data", digits, "--epochs", 10, "--output", tmp_path / "story")
    assert output.count("epoch ") == 10
    accuracy = float(output.split("Accuracy of the network on the 360 test images: ")[1].split(" %")[0])
    assert accuracy > 90
    expected = {"mnist.pth"}
    if importlib.util.find_spec("matplotlib"):
        expected |= {"curves.png", "confusion.png", "weights.png", "mistakes.png"}
    else:
        assert "no pictures: plots need matplotlib" in output
    assert {file.name for file in (tmp_path / "story").iterdir()} == expected
    if importlib.util.find_spec("torch"):
        assert f"{accuracy:.2f} %, 100.00 % of the answers the same" in output
    else:
        assert "no comparison with PyTorch" in output


def test_missing_data_is_said_in_a_sentence(tmp_path):
    assert "train-images-idx3-ubyte" in run("--data", tmp_path, code=1).splitlines()[-1]
