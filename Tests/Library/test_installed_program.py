"""The command line as `make install` puts it into place, with what the shells and man want."""

import os
import pathlib
import pty
import select
import shutil
import subprocess
import time

import pytest


def test_it_runs_without_swift(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program = installed / "bin/twolayernet"
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    assert "swift" not in needed and "not found" not in needed
    command = [program, "train", "--dataset", "digits", "--epochs", "1"]
    clean = {"PATH": os.defpath, "HOME": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("Finished\n")
    assert (tmp_path / "mnist.pth").exists()


def test_man_page_and_completions(installed: pathlib.Path) -> None:
    for file in [
        "man/man1/twolayernet.1",
        "bash-completion/completions/twolayernet",
        "zsh/site-functions/_twolayernet",
        "fish/vendor_completions.d/twolayernet.fish",
    ]:
        text = (installed / "share" / file).read_text()
        assert "twolayernet" in text and "predict" in text


def test_bash_completes_commands_and_options(installed: pathlib.Path) -> None:
    script = installed / "share/bash-completion/completions/twolayernet"
    source = f"""
        source {script}
        complete_line() {{
          COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${{#COMP_LINE}}
          COMPREPLY=()
          _twolayernet "$1" "${{@: -1}}" "${{@: -2:1}}"
          echo "${{COMPREPLY[*]}}"
        }}
        complete_line twolayernet pre
        complete_line twolayernet train --dat
        complete_line twolayernet train --device c
        complete_line twolayernet download kmn
    """
    lines = subprocess.run(
        ["bash", "-c", source], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines[0] == "predict"
    assert sorted(lines[1].split()) == ["--data", "--dataset"]
    assert sorted(lines[2].split()) == ["cpu", "cuda"]
    assert lines[3] == "kmnist"


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish")
def test_fish_completes_commands_options_and_values(
    installed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    script = installed / "share/fish/vendor_completions.d/twolayernet.fish"

    def completed(line: str) -> set[str]:
        result = subprocess.run(
            ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
            capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        return {found.split("\t")[0] for found in result.stdout.splitlines()}

    assert {"train", "predict", "download"} <= completed("twolayernet ")
    assert completed("twolayernet train --dat") == {"--data", "--dataset"}
    assert {"mnist", "kmnist", "digits"} <= completed("twolayernet train --dataset ")
    assert completed("twolayernet download k") == {"kmnist"}


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")
def test_zsh_completes_commands_and_values(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As a person sees it: zsh completes only in its line editor."""
    functions = installed / "share/zsh/site-functions"
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "TERM": "dumb", "HOME": str(tmp_path)},
    )  # fmt: skip
    os.close(slave)
    setting = f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n"
    seen = ""
    try:
        for text, expected in [
            (setting, "ready"),
            ("twolayernet pred\t", "twolayernet predict"),
            ("\x15twolayernet download km\t", "download kmnist"),
            ("\x15twolayernet train --device cu\t", "--device cuda"),
        ]:
            os.write(master, text.encode())
            end = time.monotonic() + 20
            while expected not in seen:
                assert time.monotonic() < end, seen
                if select.select([master], [], [], 0.1)[0]:
                    seen += os.read(master, 65536).decode(errors="replace")
    finally:
        shell.kill()
        shell.wait()
        os.close(master)
