"""Every function of the header, called with every argument made wrong: no crash, no hang, a sensible status."""

import pathlib
import subprocess
import sys

import pytest

import header

FUNCTIONS = header.parse().functions


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_argument_takes_the_process_down(name: str, library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    script = pathlib.Path(__file__).with_name("calls.py")
    command = [sys.executable, script, library, name, tmp_path]
    # Relative paths are among the hostile ones.
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_header_was_read(root: pathlib.Path) -> None:
    """Nothing that the header declares was missed by the parser."""
    text = (root / "include/twolayernet.h").read_text()
    assert text.count("TLN_API ") - text.count("#define TLN_API ") == len(FUNCTIONS)
    assert text.count("typedef struct tln_") == len(header.parse().structs) + text.count("typedef struct tln_network ") + text.count("typedef struct tln_dataset ") + text.count("typedef struct tln_trainer ")
