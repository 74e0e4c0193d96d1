"""How the imaginary driver is put together from its parts."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
FAKE = HERE / "FakeCUDA"
EMULATOR = HERE.parent / "TestSupport/Emulator"


def command(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


def tool(name: str) -> str:
    """Of Swift's toolchain: the emulator's text needs its C++ compiler."""
    swift = shutil.which("swift")
    assert swift, "there is no swift"
    return str(pathlib.Path(swift).resolve().parent / name)


def link(objects: pathlib.Path, directory: pathlib.Path, *options: object) -> pathlib.Path:
    """The driver as a library; returns its directory."""
    parts = sorted(objects.glob("*.o"))
    name = "libcuda.so.1"
    command(tool("clang++"), "-shared", f"-Wl,-soname,{name}", *parts, "-o", directory / name, *options)
    return directory
