"""The README's examples, run as they stand there."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("numpy")


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.S | re.M)


@pytest.fixture
def place(digits, tmp_path):
    """An empty directory in which data/ holds the digits."""
    (tmp_path / "data").symlink_to(digits)
    return tmp_path


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def test_c(root, installed, place):
    (program,) = blocks(root / "README.md", "c")
    assert program == (root / "bindings/c/train.c").read_text()
    (place / "train.c").write_text(program)
    environment = {
        **os.environ, "PKG_CONFIG_PATH": f"{installed}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{installed}/lib"
    }
    commands = next(block for block in blocks(root / "README.md", "sh") if "pkg-config" in block)
    for command in commands.splitlines():
        run(command, shell=True, cwd=place, env=environment)
    for program in ["./train", "./a.out"]:
        output = run([program, "data", "10"], cwd=place, env=environment)
        assert "epoch 10: loss" in output and "accuracy 9" in output
        assert (place / "mnist.pth").exists()


def test_python(root, library, place):
    environment = {
        **os.environ, "TWOLAYERNET_LIBRARY": str(library), "PYTHONPATH": str(root / "bindings/python/src")
    }
    (program,) = blocks(root / "README.md", "python")
    output = run([sys.executable, "-c", program], cwd=place, env=environment)
    assert float(output.split()[0]) > 0.5


def test_shell(root, place):
    (commands,) = [block for block in blocks(root / "README.md", "sh") if "twolayernet train" in block]
    path = f"{root}/.build/release:{os.environ['PATH']}"
    output = run(commands, shell=True, cwd=place, env={**os.environ, "PATH": path})
    assert "Finished" in output and "Accuracy of the network on the 360 test images" in output


def test_the_japanese_readme_has_the_same_examples(root):
    """Its commands are those that the tests above run."""
    for language in ["sh", "python"]:
        own = blocks(root / "README.ja.md", language)
        assert own
        assert own == blocks(root / "README.md", language)[: len(own)]
