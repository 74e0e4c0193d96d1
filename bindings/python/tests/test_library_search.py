"""Where the library is looked for, and what is said when it is not right."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILT = ROOT / "dist/libtwolayernet.so.0"


@pytest.fixture
def package(tmp_path):
    """A copy of the package without a library."""
    shutil.copytree(ROOT / "bindings/python/src/twolayernet", tmp_path / "site/twolayernet")
    return tmp_path / "site/twolayernet"


def found(package, code=0, **environment):
    """What a fresh Python says of the library it loads from this package."""
    outside = {name: value for name, value in os.environ.items() if name != "TWOLAYERNET_LIBRARY"}
    paths = [str(package.parent), *[path for path in sys.path if "bindings" not in path]]
    program = f"import sys; sys.path[:] = {paths!r}\nimport twolayernet; print(twolayernet.library_path)"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**outside, **environment}, capture_output=True, text=True
    )
    assert result.returncode == code, result.stderr
    return result.stdout.strip() if code == 0 else result.stderr.splitlines()[-1]


def stand_in(directory, version, symbols=""):
    """A library of another version."""
    source = directory / "other.c"
    source.write_text(f'const char *tln_version_string(void) {{ return "{version}"; }}\n{symbols}')
    library = directory / "libtwolayernet.so.0"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    return library


def test_the_order(package, tmp_path):
    system = tmp_path / "system"
    system.mkdir()
    shutil.copy(BUILT, system)
    on_system = {"LD_LIBRARY_PATH": str(system)}
    assert found(package, **on_system) == "libtwolayernet.so.0"
    inside = shutil.copy(BUILT, package)
    assert found(package, **on_system) == str(inside)
    named = {"TWOLAYERNET_LIBRARY": str(BUILT)}
    assert found(package, **on_system, **named) == str(BUILT)
    assert found(package, TWOLAYERNET_LIBRARY="") == str(inside)


def test_nothing_is_found(package):
    message = found(package, code=1)
    assert message.startswith("ImportError: ") and "TWOLAYERNET_LIBRARY" in message


def test_a_wrong_path(package):
    message = found(package, code=1, TWOLAYERNET_LIBRARY="/nowhere/lib.so")
    assert message.startswith("ImportError: ") and "/nowhere/lib.so" in message


def test_another_version_names_both(package, tmp_path):
    library = stand_in(tmp_path, "0.7.3")
    message = found(package, code=1, TWOLAYERNET_LIBRARY=str(library))
    assert message.startswith("ImportError: ")
    assert "version 0.7.3" in message and "version 0.1.0" in message and str(library) in message


def test_another_library(package, tmp_path):
    libz = subprocess.run(["cc", "-print-file-name=libz.so"], capture_output=True, text=True).stdout.strip()
    message = found(package, code=1, TWOLAYERNET_LIBRARY=os.path.realpath(libz))
    assert "is not a twolayernet library" in message
    library = stand_in(tmp_path, "0.1.9")
    message = found(package, code=1, TWOLAYERNET_LIBRARY=str(library))
    assert "is not a whole twolayernet library" in message
