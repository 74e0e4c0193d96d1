"""Help, version, completions and the man page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT, Run, refusal

COMMANDS = ["train", "test", "predict", "inspect", "convert", "report", "devices", "download"]


def test_help_names_every_command_and_has_examples(run: Run) -> None:
    text = run("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.MULTILINE)
        own = run(command, "--help").stdout
        assert "EXAMPLES" in own and f"twolayernet {command}" in own
    assert run().stdout == text


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_examples_are_not_broken_at_80_columns(run: Run, command: str) -> None:
    """A line that is too long goes on without the indentation, and can't be pasted."""
    text = run(*command.split(), "--help", COLUMNS="80").stdout
    examples = text.split("EXAMPLES\n")[1].split("\n\n")[0].splitlines()
    assert examples and all(line.startswith("  ") for line in examples)


def test_the_version_is_the_librarys(run: Run) -> None:
    header = (ROOT / "include/twolayernet.h").read_text()
    version = re.search(r'TLN_VERSION_STRING "(.*)"', header)
    assert version and run("--version").stdout == version[1] + "\n"


def test_short_names_of_what_is_typed_most(run: Run, tmp_path: Path) -> None:
    run("train", "--dataset", "digits", "--epochs", 1, "-q", "-o", "a.pth")
    expected = run("test", "--model", "a.pth").stdout
    assert run("test", "-m", "a.pth").stdout == expected
    assert run("predict", "-m", "a.pth", stdin=b"0 " * 64).stdout.startswith("input[0]: ")
    run("report", "-m", "a.pth", "-o", "a.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.pth"]


@pytest.mark.parametrize("command", ["test", "report"])
def test_a_network_in_the_wrong_place(run: Run, command: str) -> None:
    assert "--model names the network" in refusal(run(command, "mnist.pth", code=64))
    assert "--model" not in refusal(run(command, "other", code=64))


def test_unknown_commands(run: Run) -> None:
    assert "trian" in refusal(run("trian", code=64))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(run: Run, tmp_path: Path, shell: str) -> None:
    script = run("--generate-completion-script", shell).stdout
    for command in COMMANDS:
        assert command in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_the_man_page(run: Run, tmp_path: Path) -> None:
    dump = run("--experimental-dump-help").stdout
    page = subprocess.run(
        [sys.executable, ROOT / "Sources/CommandLineTool/manual.py", "1.2.3"],
        input=dump, text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    for command in COMMANDS:
        assert f".SS twolayernet {command}" in page
    assert "twolayernet 1.2.3" in page
    for name in ["fashion\\-mnist", "kmnist", "emnist\\-digits"]:
        assert page.count(f" {name}") >= 4
    if shutil.which("groff"):
        result = subprocess.run(
            ["groff", "-man", "-Tascii", "-ww"], input=page, text=True, capture_output=True, check=True
        )
        assert result.stderr == ""
