"""What a person at a terminal sees."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

DIGITS = ["train", "--dataset", "digits"]


class Terminal:
    """The program with a terminal as its standard input, output and error."""

    columns = 100

    def __init__(self, program: Path, directory: Path, *arguments: str, **environment: str) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, self.columns, 0, 0))
        self.master = master
        clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        self.child = subprocess.Popen(
            [program, *arguments], cwd=directory, stdin=slave, stdout=slave, stderr=slave,
            env=clean | {"TERM": "xterm"} | environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def read(self, until: str | None = None, seconds: float = 30) -> str:
        """Reads until `until` was seen, or to the end."""
        end = time.monotonic() + seconds
        while until is None or until not in self.seen:
            assert time.monotonic() < end, self.seen
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:  # Linux says that nobody writes any more
                data = b""
            if not data:
                assert until is None, self.seen
                break
            self.seen += data.decode(errors="replace")
        return self.seen

    def write(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait(self) -> int:
        self.read()
        os.close(self.master)
        return self.child.wait(10)


def test_a_bar_with_what_matters(program: Path, tmp_path: Path) -> None:
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "3000")
    text = terminal.read(until="left")
    terminal.child.send_signal(signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM
    for part in ["epoch ", "/3000", "━", "loss ", "images/s", "\r\x1b[K", "\x1b[32m"]:
        assert part in text


@pytest.mark.parametrize("columns", [1, 30, 60, 80])
def test_a_narrow_terminal_is_not_overrun(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(Terminal, "columns", columns)
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "10000", NO_COLOR="1")
    terminal.read(until="epoch=400,")
    terminal.child.send_signal(signal.SIGTERM)
    terminal.wait()
    drawn = re.findall(r"\r\x1b\[K(epoch [^\r\n]*)", terminal.seen)
    assert drawn and all(len(line) < max(columns, len("epoch 10000/10000  ") + 1) for line in drawn)


@pytest.mark.parametrize(
    ("columns", "shape"),
    [
        (100, r"epoch \d/300000 [━─]{24} loss \S+  \S+ images/s  \S+ left"),
        (60, r"epoch \d/300000 [━─]* loss \S+  \S+ images/s  \S+ left"),
        (45, r"epoch \d/300000 [━─]* loss \S+  \S+ left"),
        (30, r"epoch \d/300000  loss \S+"),
        (20, r"epoch \d/300000"),
    ],
)
def test_a_narrow_terminal_shows_whole_numbers(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, shape: str
) -> None:
    """What does not fit is left out, the least important first."""
    monkeypatch.setattr(Terminal, "columns", columns)
    # Slow, so that the number of the epoch stays short.
    terminal = Terminal(
        program, tmp_path, *DIGITS, "--epochs", "300000", "--batch-size", "1", "--hidden", "20000",
        "--lr", "0.0001", NO_COLOR="1",
    )  # fmt: skip
    terminal.read(until="\r\x1b[Kepoch 1/300000")
    terminal.child.send_signal(signal.SIGTERM)
    terminal.wait()
    drawn = re.findall(r"\r\x1b\[K(epoch [^\r\n]*)", terminal.seen)
    assert drawn and all(re.fullmatch(shape, line) and len(line) < columns for line in drawn), drawn


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(
    program: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "3000", **environment)
    terminal.read(until="epoch=3,")
    terminal.child.send_signal(signal.SIGTERM)
    terminal.wait()
    assert "\x1b[3" not in terminal.seen


def test_errors_are_plain_in_a_pipe(program: Path) -> None:
    result = subprocess.run([program, "train", "--foo"], capture_output=True, text=True, check=False)
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_ctrl_c_offers_to_keep_the_state(program: Path, tmp_path: Path, answer: str) -> None:
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "1000000")
    terminal.read(until="epoch=5,")
    terminal.child.send_signal(signal.SIGINT)
    terminal.read(until="[y/N]")
    terminal.write(answer + "\n")
    assert terminal.wait() == 130
    kept = [p.name for p in tmp_path.iterdir()]
    assert kept == (["mnist.checkpoint.pth"] if answer == "y" else [])
    if answer == "y":
        assert "--resume mnist.checkpoint.pth" in terminal.seen


def test_the_command_to_go_on_is_the_whole_command(program: Path, tmp_path: Path) -> None:
    """With everything that the state does not hold, as a shell takes it."""
    output = "it's 数字.pth"
    terminal = Terminal(
        program, tmp_path, *DIGITS, "--epochs", "1000000", "--lr", "0.05", "--momentum=0.8", "--output", output,
        "--batch-size", "50",
    )  # fmt: skip
    terminal.read(until="epoch=5,")
    terminal.child.send_signal(signal.SIGINT)
    terminal.read(until="[y/N]")
    terminal.write("y\n")
    assert terminal.wait() == 130
    (command,) = re.findall(r"to go on: ([^\r\n]*)", terminal.seen)
    assert "--batch-size 50" in command and "--lr" not in command and "--momentum" not in command
    command = command.replace("1000000", "6000")
    log = tmp_path / "run.jsonl"
    subprocess.run(
        f"{command} --log run.jsonl --quiet", shell=True, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
    start = json.loads(log.read_text().splitlines()[0])
    assert (start["batch_size"], start["learning_rate"], start["momentum"]) == (50, 0.05, 0.8)
    assert start["finished_epochs"] >= 4 and (tmp_path / output).exists()


@pytest.mark.parametrize("locale, width", [("en_US.UTF-8", 24), ("ja_JP.UTF-8", 12), ("C", 24)])
def test_the_bar_has_room_in_every_locale(
    program: Path, tmp_path: Path, locale: str, width: int
) -> None:
    """East Asian terminals may give each of its letters two columns."""
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "100000", LC_ALL=locale, NO_COLOR="1")
    terminal.read(until="left")
    terminal.child.send_signal(signal.SIGTERM)
    terminal.wait()
    bar = re.search(r"epoch \d+/100000 (\S*) loss", terminal.seen)
    assert bar and len(bar[1]) == width
    assert set(bar[1]) <= set("=-" if locale == "C" else "━─")


def test_a_terminal_that_does_not_know_its_width_may_be_told(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Terminal, "columns", 0)
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "10000", NO_COLOR="1", COLUMNS="40")
    terminal.read(until="epoch=400,")
    terminal.child.send_signal(signal.SIGTERM)
    terminal.wait()
    drawn = re.findall(r"\r\x1b\[K(epoch [^\r\n]*)", terminal.seen)
    assert drawn and max(map(len, drawn)) == 39


def test_a_slow_download_shows_how_far_it_is(program: Path, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    curl = tmp_path / "tools/curl"
    # Stands in for curl: the last argument but one is the file.
    curl.write_text(
        "#!/bin/sh\nfor argument; do before=$last last=$argument; done\n"
        'head -c 1500000 /dev/zero > "$before"\nsleep 1\nexit 7\n'
    )
    curl.chmod(0o755)
    path = f"{tmp_path}/tools:{os.environ['PATH']}"
    terminal = Terminal(program, tmp_path, "download", "mnist", "--mirror", "http://localhost/", PATH=path)
    assert terminal.wait() == 1
    assert re.search(r"\r\x1b\[K1\.5 MB  \d+\.\d MB/s", terminal.seen)
    assert "could not be downloaded" in terminal.seen.split("\r\x1b[K")[-1]


def test_a_second_ctrl_c_ends_at_once(program: Path, tmp_path: Path) -> None:
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "1000000")
    terminal.read(until="epoch=2,")
    terminal.child.send_signal(signal.SIGINT)
    terminal.read(until="[y/N]")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.wait() == 130
    assert terminal.seen.endswith("[y/N] \r\n"), "the shell's prompt would follow the question"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_d_is_no_answer(program: Path, tmp_path: Path) -> None:
    terminal = Terminal(program, tmp_path, *DIGITS, "--epochs", "1000000")
    terminal.read(until="epoch=2,")
    terminal.child.send_signal(signal.SIGINT)
    terminal.read(until="[y/N]")
    terminal.write("\x04")
    assert terminal.wait() == 130
    assert terminal.seen.endswith("[y/N] \r\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("columns", "letters"), [(100, 2), (14, 1)])
@pytest.mark.parametrize("locale", ["en_US.UTF-8", "ja_JP.UTF-8"])
def test_an_answer_fits_its_terminal(
    program: Path, tmp_path: Path, digits_model: Path, digits: Path, monkeypatch: pytest.MonkeyPatch,
    columns: int, letters: int, locale: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(Terminal, "columns", columns)
    images = str(digits / "t10k-images-idx3-ubyte")
    terminal = Terminal(
        program, tmp_path, "predict", "--show", "--model", str(digits_model), images, NO_COLOR="1",
        LC_ALL=locale,
    )  # fmt: skip
    assert terminal.wait() == 0
    picture, answer = terminal.seen.split(f"{images}[0]: ")
    assert max(map(len, picture.splitlines())) <= 8 * letters
    assert max(map(len, picture.splitlines())) > 4 * letters
    assert all(len(line) <= columns for line in answer.splitlines()[1:])
    bars = [line.count("█") for line in answer.splitlines()]
    assert (max(bars) > 5) == (columns == 100)
