"""A host that lives with the library: threads, forks, signals, many networks, millions of calls.

TLN_TEST_LOAD=10 makes the load tests ten times as long; `make test-load` does.
"""

import os
import pathlib
import subprocess
import sys

import pytest

# So that what threads leave behind is seen as what it is.
ONE_ARENA = {**os.environ, "MALLOC_ARENA_MAX": "1"}
HERE = pathlib.Path(__file__).resolve().parent
LOAD = int(os.environ.get("TLN_TEST_LOAD", "1"))


def build(name: str, library: pathlib.Path, root: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    command = ["cc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", HERE / f"{name}.c", "-o", directory / name]
    command += ["-I", root / "include", "-L", library.parent, "-ltwolayernet", f"-Wl,-rpath,{library.parent}"]
    subprocess.run([*command, "-lpthread"], check=True)
    return directory / name


@pytest.fixture(scope="session")
def host(library: pathlib.Path, root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build("host", library, root, tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session")
def load(library: pathlib.Path, root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build("load", library, root, tmp_path_factory.mktemp("load"))


def run(host: pathlib.Path, *arguments: object) -> str:
    command = [host, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ONE_ARENA)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    return done.stdout


def test_many_networks_train_at_once(host: pathlib.Path) -> None:
    run(host, "train_together", 12)


def test_one_network_predicts_for_many_threads(host: pathlib.Path) -> None:
    run(host, "predict_together", 8)


def test_training_is_cancelled_from_another_thread(host: pathlib.Path) -> None:
    run(host, "cancel", 5)


def test_every_thread_has_its_own_error(host: pathlib.Path) -> None:
    run(host, "errors_together", 1100)


def test_fork_before_during_and_after_use(host: pathlib.Path) -> None:
    run(host, "fork", 15)


def test_signals_interrupt_nothing(host: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run(host, "interrupted", 5, tmp_path / "network.pth")


def test_steps_take_no_memory(load: pathlib.Path) -> None:
    run(load, "steps", 100_000 * LOAD)


def test_networks_give_their_memory_back(load: pathlib.Path) -> None:
    run(load, "cycles", 10_000 * LOAD)


def test_64_networks_in_one_process(load: pathlib.Path) -> None:
    run(load, "many_networks", 64)


def test_an_idle_network_is_small(load: pathlib.Path) -> None:
    """The article's network: 79,510 parameters of four bytes, padded, and with a trainer their momentum,
    gradients and room for a batch."""
    alone, with_trainer = (int(word) for word in run(load, "idle", 1).split())
    print(f"idle network: {alone} bytes; with a trainer: {with_trainer} bytes")
    assert alone <= 400_000
    assert with_trainer <= 1_500_000


def test_loading_and_unloading_leaves_nothing(library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "unload.py", library, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        env=ONE_ARENA,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
