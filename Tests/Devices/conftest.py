"""An imaginary NVIDIA driver, over the emulator of the tests, and a program that uses it."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

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


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with the compiled parts of the driver."""
    directory = tmp_path_factory.mktemp("driver-objects")
    # As Package.swift has it.
    options = ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-I", EMULATOR / "include", "-c"]
    for source in sorted(EMULATOR.glob("*.cpp")):
        command(tool("clang++"), *options, source, "-o", directory / f"{source.stem}.o")
    options = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-I", EMULATOR / "include", "-c"]
    for source in sorted(FAKE.glob("*.c")):
        command(tool("clang"), *options, source, "-o", directory / f"fake_{source.stem}.o")
    return directory


def link(objects: pathlib.Path, directory: pathlib.Path, *options: object) -> pathlib.Path:
    """The driver as a library; returns its directory."""
    parts = sorted(objects.glob("*.o"))
    name = "libcuda.so.1"
    command(tool("clang++"), "-shared", f"-Wl,-soname,{name}", *parts, "-o", directory / name, *options)
    return directory


@pytest.fixture(scope="session")
def driver(objects: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with the driver, for LD_LIBRARY_PATH."""
    return link(objects, tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="session")
def scenarios(driver: pathlib.Path, library: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """The program of scenarios.c."""
    program = driver / "scenarios"
    command(
        "cc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", HERE / "scenarios.c", "-o", program,
        "-I", root / "include", "-I", FAKE, "-L", library.parent, "-ltwolayernet", driver / "libcuda.so.1", "-lm", "-lpthread",
        f"-Wl,-rpath,{library.parent}:{driver}",
    )  # fmt: skip
    return program
