"""An imaginary NVIDIA driver, over the emulator of the tests, and a program that uses it."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from building import EMULATOR, FAKE, HERE, command, link, tool  # noqa: E402


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
