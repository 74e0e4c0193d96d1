"""Every allocation, system call and thread of the library failing in turn: an error or a right result, no
leak, no file lost. What is promised about it stands in SECURITY.md."""

import pathlib
import pickle
import re
import shutil
import subprocess
import zipfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ALLOCATIONS, CALLS, THREADS = 1, 2, 4
ONCE, FROM_THEN_ON, INTERRUPT, SHORTEN = range(4)
NAMES = re.findall(r'^    \{"(\w+)", ', (HERE / "scenarios.c").read_text(), re.M)
# Of the many thousand places of this scenario some hundred are tried.
STRIDES = {"load_large": 499}


@pytest.fixture(scope="session")
def programs(library: pathlib.Path, root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with the programs of this one."""
    directory = tmp_path_factory.mktemp("faults")
    for name in ["scenarios", "together"]:
        # The compiler must not take malloc for what it knows.
        command = ["cc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-builtin", HERE / f"{name}.c"]
        command += [HERE / "faults.c", "-o", directory / name, "-I", root / "include", "-L", library.parent]
        subprocess.run([*command, "-ltwolayernet", f"-Wl,-rpath,{library.parent}", "-ldl", "-lpthread"], check=True)
    return directory


@pytest.fixture(scope="session")
def scenarios(programs: pathlib.Path) -> pathlib.Path:
    return programs / "scenarios"


def write_large_checkpoint(network: pathlib.Path, path: pathlib.Path) -> None:
    """A network's file with a long log beside the tensors: a pickle of some hundred kilobytes."""
    log = {f"the step with number {number:05}": f"the text with number {number:05}" for number in range(8000)}
    with zipfile.ZipFile(network) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            contents = source.read(name)
            if name.endswith("/data.pkl"):
                # A dictionary around two pickles without their first two bytes and their last one.
                parts = [b"\x80\2}(", b"X\5\0\0\0model", contents[2:-1], b"X\3\0\0\0log", pickle.dumps(log, 2)[2:-1], b"u."]
                contents = b"".join(parts)
            target.writestr(name, contents)


@pytest.fixture
def place(digits: pathlib.Path, root: pathlib.Path, scenarios: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Files to read, and a directory to write to."""
    golden = root / "Tests/Golden/checkpoints/torch-2.1.2"
    for name in ["network.pth", "network.stream.pth", "deflated.pth", "network.safetensors"]:
        shutil.copy(golden / name, tmp_path)
    write_large_checkpoint(golden / "network.pth", tmp_path / "large.pth")
    (tmp_path / "raw").symlink_to(digits)
    (tmp_path / "gzip").mkdir()
    for file in digits.iterdir():
        with (tmp_path / "gzip" / f"{file.name}.gz").open("wb") as target:
            subprocess.run(["gzip", "-c", file], stdout=target, check=True)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/link.pth").symlink_to("file.pth")
    subprocess.run([scenarios, tmp_path, "prepare", "0", "0"], check=True)
    return tmp_path


def run(scenarios: pathlib.Path, place: pathlib.Path, name: str, kinds: int, manner: int) -> tuple[int, int]:
    """How many faulty calls ended with an error, and how many well."""
    stride = STRIDES.get(name, 1) if kinds == ALLOCATIONS else 1
    command = [scenarios, place, name, str(kinds), str(manner), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    places, errors, successes = (int(word) for word in re.findall(r"\d+", done.stdout))
    assert places == errors + successes
    return errors, successes


@pytest.mark.parametrize("name", NAMES)
def test_every_allocation_fails(scenarios: pathlib.Path, place: pathlib.Path, name: str) -> None:
    for manner in [ONCE, FROM_THEN_ON]:
        run(scenarios, place, name, ALLOCATIONS, manner)


@pytest.mark.parametrize("name", NAMES)
def test_every_system_call_fails(scenarios: pathlib.Path, place: pathlib.Path, name: str) -> None:
    for manner in [ONCE, FROM_THEN_ON]:
        run(scenarios, place, name, CALLS, manner)


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_and_short_calls_are_no_errors(scenarios: pathlib.Path, place: pathlib.Path, name: str) -> None:
    for manner in [INTERRUPT, SHORTEN]:
        assert run(scenarios, place, name, CALLS, manner)[0] == 0


def test_threads_that_do_not_start_are_done_without(scenarios: pathlib.Path, place: pathlib.Path) -> None:
    for name in ["fit_two_threads", "step", "evaluate", "predict"]:
        for manner in [ONCE, FROM_THEN_ON]:
            errors, successes = run(scenarios, place, name, THREADS, manner)
            assert errors == 0 and successes > 0


def test_memory_runs_out_for_many_threads_at_once(programs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = subprocess.run([programs / "together", tmp_path, "16"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"


def test_the_faults_are_noticed(scenarios: pathlib.Path, place: pathlib.Path) -> None:
    """The harness reaches the places it is made for."""
    assert run(scenarios, place, "save_trainer", CALLS, ONCE)[0] >= 10
    assert run(scenarios, place, "load_archive", ALLOCATIONS, ONCE)[0] >= 20
    assert run(scenarios, place, "open_gzip", ALLOCATIONS, FROM_THEN_ON)[0] >= 10
