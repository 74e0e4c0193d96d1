"""The command line as `make install` puts it into place, with what the shells and man want."""

import os
import pathlib
import subprocess


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
    """
    lines = subprocess.run(
        ["bash", "-c", source], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines[0] == "predict"
    assert sorted(lines[1].split()) == ["--data", "--dataset"]
    assert sorted(lines[2].split()) == ["cpu", "cuda"]
