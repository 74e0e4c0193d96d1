"""What shells, file names, locales and files of strangers can do to the program."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from program import Run, refusal

DIGITS = ("train", "--dataset", "digits")


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_results_never_go_into_a_file_that_took_the_place_of_a_closed_descriptor(
    program: Path, tmp_path: Path, closed: str
) -> None:
    command = f'exec "$0" train --dataset digits --epochs 2 --log run.jsonl {closed}'
    result = subprocess.run(["sh", "-c", command, program], cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 1
    if "2>&-" not in closed:
        assert b"standard output cannot be written" in result.stderr
    for line in (tmp_path / "run.jsonl").read_text().splitlines():
        json.loads(line)
    assert not (tmp_path / "mnist.pth").exists()


def test_a_closed_standard_error_or_input_is_no_obstacle(program: Path, tmp_path: Path) -> None:
    command = 'exec "$0" train --dataset digits --epochs 2 --log run.jsonl <&- 2>&-'
    result = subprocess.run(
        ["sh", "-c", command, program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("Finished\n") and result.stderr == ""
    for file in ["run.jsonl", "mnist.pth"]:
        assert b"trained" not in (tmp_path / file).read_bytes()
    result = subprocess.run(
        ["sh", "-c", 'exec "$0" predict <&-', program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1 and "standard input cannot be read" in result.stderr


def test_a_reader_that_leaves_ends_the_program_quietly(program: Path, tmp_path: Path) -> None:
    command = '"$0" train --dataset digits --epochs 100000 --quiet | head -n 1'
    result = subprocess.run(
        ["sh", "-c", command, program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.startswith("epoch=1,") and result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf8_are_refused_and_not_changed(program: Path, tmp_path: Path) -> None:
    name = b"a\xff.pth"
    for arguments in [["train", "--dataset", "digits", "--output", name], ["inspect", name], [name]]:
        result = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, check=False)
        assert result.returncode == 64 and b"is not UTF-8" in result.stderr and result.stdout == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("test", "--model", ""), ("train", "--data", ""), ("",)])
def test_empty_arguments(run: Run, arguments: tuple[str, ...]) -> None:
    assert f"argument {len(arguments)} is empty" in refusal(run(*arguments, code=64))


@pytest.mark.parametrize("arguments", [("trian",), ("help", "trian")])
def test_unknown_commands_are_answered_with_those_that_exist(run: Run, arguments: tuple[str, ...]) -> None:
    message = refusal(run(*arguments, code=64))
    assert "no command 'trian'" in message and "train, test, predict" in message


def test_directories_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o555)
    message = refusal(run(*DIGITS, "--epochs", 10**6, "--output", "closed/a.pth", code=1))
    assert "closed/a.pth" in message and "Permission denied" in message
    message = run("download", "mnist", "--data", "closed/data", code=1).stderr
    assert "closed/data" in message and "Permission denied" in message


def hostile_safetensors() -> bytes:
    """A file whose names move the cursor, retitle the window and turn the direction of writing."""
    header = json.dumps(
        {
            "__metadata__": {"key\x1b[2J": "value\x1b[31m\x9b\u202e"},
            "tensor\x1b]0;title\x07\n\u202ename": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def is_harmless(text: str) -> bool:
    return all(c == "\n" or (c >= " " and not 0x7F <= ord(c) < 0xA0 and c != "\u202e") for c in text)


def test_names_in_files_cannot_command_the_terminal(run: Run, digits_model: Path, tmp_path: Path) -> None:
    name = "a\x1b[31m.safetensors"
    (tmp_path / name).write_bytes(hostile_safetensors())
    result = run("inspect", name)
    assert is_harmless(result.stdout) and r"tensor\u{1b}]0;title\u{7}\u{a}\u{202e}name" in result.stdout
    assert len(result.stdout.splitlines()) == 4
    values = json.loads(run("inspect", name, "--json").stdout)
    assert values["tensors"][0]["name"] == "tensor\x1b]0;title\x07\n\u202ename"
    for arguments in [("test", "--model", name), ("test", "--model", "no\x1b[31m"), ("predict", "--x\x1b[31m")]:
        assert is_harmless(run(*arguments, code=64 if "--x" in arguments[1] else 1).stderr)
    (tmp_path / "b\x1b[31m.pgm").write_bytes(b"P5 8 8 255\n" + bytes(64))
    result = run("predict", "--model", digits_model, "b\x1b[31m.pgm")
    assert is_harmless(result.stdout) and result.stdout.startswith(r"b\u{1b}[31m.pgm: ")
    shutil.copy(digits_model, tmp_path / "c\x1b[31m.pth")
    assert is_harmless(run("report", "--model", "c\x1b[31m.pth", "--output", "d\x1b[31m.html").stderr)


@pytest.mark.parametrize(
    ("locale", "is_ascii"),
    [("C", True), ("ja_JP.eucJP", True), ("ja_JP.UTF-8", False), ("en_US.utf8", False), ("", False)],
)
def test_bars_are_made_of_what_the_locale_has(
    run: Run, digits_model: Path, locale: str, is_ascii: bool
) -> None:
    text = run(
        "predict", "--model", digits_model, stdin=b"0 " * 64, LC_ALL=locale, LC_CTYPE=locale, LANG=locale
    ).stdout
    assert text.isascii() == is_ascii
    assert ("#" if is_ascii else "█") in text
