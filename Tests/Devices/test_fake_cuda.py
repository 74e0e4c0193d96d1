"""The CUDA device on an imaginary driver: every call of it failing in turn, drivers that are too old or have no
device, several devices, and the same training as on the cpu."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import driver_header
import pytest
from building import link

HERE = pathlib.Path(__file__).resolve().parent
LIBRARY_SOURCE = HERE.parents[1] / "Sources/TwoLayerNet/Devices/CUDA/CUDALibrary.swift"
FUNCTIONS = re.findall(r'symbols\["(\w+)"\]', LIBRARY_SOURCE.read_text())
ONCE, UNTIL_READ, TO_THE_END = range(3)
# Whether the driver runs all groups of a kernel at the same time; or says so, and then refuses to.
NEVER, ALWAYS, REFUSED = range(3)

# Prints what one request comes to, as JSON.
REQUEST = """
import json, sys, twolayernet
info = twolayernet.describe_device("cuda")
answer = {"available": info.available, "count": info.count, "name": info.name, "reason": info.reason}
answer["auto"] = twolayernet.resolve_device()
try:
    twolayernet.Network(5, 4, 3, device=sys.argv[1])
except twolayernet.TwoLayerNetError as error:
    answer |= {"status": error.status_name, "error": str(error)}
print(json.dumps(answer))
"""


@pytest.fixture
def request_device(library: pathlib.Path, root: pathlib.Path, driver: pathlib.Path):
    """What a request for a device comes to, with a driver and with this in the environment."""

    def start(device: str = "cuda", directory: pathlib.Path = driver, **environment: object) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-c", REQUEST, device], capture_output=True, text=True, check=True,
            env=os.environ | {"LD_LIBRARY_PATH": str(directory), "TWOLAYERNET_LIBRARY": str(library)}
            | {"PYTHONPATH": str(root / "bindings/python/src")} | {k: str(v) for k, v in environment.items()},
        )  # fmt: skip
        assert done.stderr == ""
        return json.loads(done.stdout)

    return start


def refused(answer: dict[str, object], *texts: str) -> bool:
    """Whether the device is said not to be there for this reason, and the request failed with the same."""
    reason, error = str(answer["reason"]), str(answer["error"])
    assert answer["count"] == 0 and answer["name"] == "" and answer["status"] == "TLN_NO_DEVICE"
    return all(text in reason and text in error for text in texts)


@pytest.mark.parametrize(
    "error, name, manner, together",
    [
        (719, "CUDA_ERROR_LAUNCH_FAILED", ONCE, NEVER),
        (719, "CUDA_ERROR_LAUNCH_FAILED", ONCE, ALWAYS),
        (719, "CUDA_ERROR_LAUNCH_FAILED", ONCE, REFUSED),
        (2, "CUDA_ERROR_OUT_OF_MEMORY", ONCE, NEVER),
        (2, "CUDA_ERROR_OUT_OF_MEMORY", ONCE, ALWAYS),
        (700, "CUDA_ERROR_ILLEGAL_ADDRESS", UNTIL_READ, NEVER),
        (700, "CUDA_ERROR_ILLEGAL_ADDRESS", UNTIL_READ, ALWAYS),
        (719, "CUDA_ERROR_LAUNCH_FAILED", TO_THE_END, ALWAYS),
        (987, "987", TO_THE_END, NEVER),
    ],
)
def test_every_call_failing(
    scenarios: pathlib.Path, tmp_path: pathlib.Path, error: int, name: str, manner: int, together: int
) -> None:
    done = subprocess.run(
        [scenarios, "fail", str(error), name, str(manner)], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=os.environ | {"FAKE_CUDA_TOGETHER": str(together)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls, failures = map(int, re.findall(r"\d+", done.stdout))
    assert calls > 300 and failures > calls // 2


@pytest.mark.parametrize("name", ["fork", "threads", "told"])
def test_other_hosts(scenarios: pathlib.Path, tmp_path: pathlib.Path, name: str) -> None:
    done = subprocess.run([scenarios, name], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_device(request_device) -> None:
    answer = request_device()
    assert answer["available"] and answer["count"] == 1 and answer["name"] == "Imaginary GPU 0"
    assert answer["auto"] == "cuda" and answer["reason"] == ""
    assert "error" not in answer


def test_no_driver(request_device, tmp_path: pathlib.Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("not a library")
    assert refused(request_device(directory=tmp_path), "NVIDIA driver", "libcuda.so.1")


@pytest.mark.parametrize("count, text", [(0, "CUDA_ERROR_NO_DEVICE"), (-1, "no device")])
def test_no_device(request_device, count: int, text: str) -> None:
    assert refused(request_device(FAKE_CUDA_DEVICES=count), text)


def test_old_drivers(request_device) -> None:
    assert "error" not in request_device(FAKE_CUDA_VERSION=11040)
    assert refused(request_device(FAKE_CUDA_VERSION=11030), "too old", "CUDA 11.3", "11.4 is needed")
    assert refused(request_device(FAKE_CUDA_VERSION=9020), "too old", "CUDA 9.2")


def test_old_devices(request_device) -> None:
    assert refused(request_device(FAKE_CUDA_MAJOR=3), "too old", "compute capability 3", "5.0 is needed")


def test_the_declarations_are_read() -> None:
    """Those that driver_header.py compares with NVIDIA's header, where that is installed."""
    declared = driver_header.declared(LIBRARY_SOURCE.read_text())
    assert sorted(declared) == sorted(FUNCTIONS)
    assert declared["cuMemsetD8Async"] == "lclp" and declared["cuLaunchKernel"] == "puuuuuuuppp"


def test_a_driver_without_one_of_the_functions(request_device, objects: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert len(FUNCTIONS) == 32
    for name in FUNCTIONS:
        script = tmp_path / "exports.map"
        script.write_text(f"{{ local: {name}; }};")
        link(objects, tmp_path, f"-Wl,--version-script={script}")
        assert refused(request_device(directory=tmp_path), "too old", f"it has no {name}")


@pytest.mark.parametrize(
    "name", ["cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute"]
)
def test_a_driver_that_fails_from_the_beginning(request_device, name: str) -> None:
    answer = request_device(FAKE_CUDA_FAIL=f"{name}:1:1")
    assert answer["count"] == 0 and f"{name} failed: CUDA_ERROR_INVALID_VALUE" in answer["reason"]


def test_a_device_without_memory(request_device) -> None:
    answer = request_device(FAKE_CUDA_FAIL="cuDevicePrimaryCtxRetain:1:2")
    assert answer["count"] == 0 and "CUDA_ERROR_OUT_OF_MEMORY" in answer["reason"]
    assert answer["count"] == 0 and "CUDA_ERROR_OUT_OF_MEMORY" in answer["reason"]


MEMORY = """
import sys, numpy, twolayernet
rows = numpy.zeros((3000, 20), numpy.float32), numpy.zeros(3000, numpy.int64)
calls = {
    "create": lambda: twolayernet.Network(20, 30, 4, device="cuda"),
    "trainer": lambda: twolayernet.Trainer(network, batch_size=500),
    "step": lambda: trainer.step(*rows),
    "fit": lambda: trainer.fit(twolayernet.Dataset(*rows), epochs=1),
    "evaluate": lambda: network.evaluate(twolayernet.Dataset(*rows)),
    "logits": lambda: network.logits(rows[0]),
}
try:
    name = "create"
    network = calls[name]()
    name = "trainer"
    trainer = calls[name]()
    for name in sys.argv[1:]:
        calls[name]()
    print("none")
except twolayernet.TwoLayerNetError as error:
    print(name, error.status_name, error)
"""


@pytest.mark.parametrize("calls", [["step"], ["fit"], ["evaluate"], ["logits"]], ids=lambda calls: calls[0])
def test_out_of_device_memory_is_the_same_wherever_it_happens(
    root: pathlib.Path, library: pathlib.Path, driver: pathlib.Path, calls: list[str]
) -> None:
    """With more and more memory: the driver's error, never the status that stands for the system's memory."""
    failed = []
    for memory in [100, 5000, 9000, 20000, 100_000, 10_000_000]:
        environment = os.environ | {"LD_LIBRARY_PATH": str(driver), "TWOLAYERNET_LIBRARY": str(library)}
        environment |= {"PYTHONPATH": str(root / "bindings/python/src"), "FAKE_CUDA_MEMORY": str(memory)}
        done = subprocess.run([sys.executable, "-c", MEMORY, *calls], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        failed.append(done.stdout.split()[0])
        if failed[-1] != "none":
            assert "TLN_DEVICE_FAILED" in done.stdout and "cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY for" in done.stdout
    assert failed[0] == "create" and failed[-1] == "none" and {"trainer", *calls} <= set(failed)


def test_devices_are_counted_from_0(request_device) -> None:
    for device in ["cuda", "cuda:0", "cuda:1"]:
        answer = request_device(device, FAKE_CUDA_DEVICES=2)
        assert answer["count"] == 2 and "error" not in answer
    answer = request_device("cuda:2", FAKE_CUDA_DEVICES=2)
    assert answer["status"] == "TLN_NO_DEVICE" and "cuda:2 among 2" in answer["error"]


def test_a_second_device_where_the_first_is_taken(request_device) -> None:
    answer = request_device("cuda:1", FAKE_CUDA_DEVICES=2, FAKE_CUDA_FAIL="cuDevicePrimaryCtxRetain:1:2")
    assert answer["count"] == 2 and answer["name"] == "Imaginary GPU 1" and "error" not in answer


STATIC = """
#include <stdio.h>
#include <twolayernet.h>
int main(void) {
  tln_device_info info = {.struct_size = sizeof info};
  if (tln_device_describe(TLN_DEVICE_CUDA, &info) != TLN_OK) return 1;
  puts(info.reason);
  return info.available;
}
"""


def test_a_statically_linked_program_has_no_gpu(
    root: pathlib.Path, library: pathlib.Path, driver: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source, program = tmp_path / "static.c", tmp_path / "static"
    source.write_text(STATIC)
    command = ["cc", source, "-static", "-I", root / "include", library.with_suffix(".a"), "-lz", "-lm", "-o", program]
    linked = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert linked.returncode == 0 and linked.stderr == ""
    done = subprocess.run([program], env={"LD_LIBRARY_PATH": str(driver)}, capture_output=True, text=True)
    assert done.returncode == 0 and "linked statically" in done.stdout


def test_the_command_line_trains_the_same_network(root: pathlib.Path, driver: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program = root / ".build/release/twolayernet"
    assert program.exists(), "run `make cli` first"
    environment = os.environ | {"LD_LIBRARY_PATH": str(driver), "FAKE_CUDA_DEVICES": "2", "FAKE_CUDA_SHUFFLE": "37"}

    def run(directory: str, *arguments: str) -> str:
        place = tmp_path / directory
        place.mkdir(exist_ok=True)
        done = subprocess.run([program, *arguments], cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # In the same file of two directories: its name is in it.
    options = ["--dataset", "digits", "--epochs", "2"]
    trained = [run(device, "train", *options, "--device", device) for device in ["cpu", "cuda:1"]]
    assert trained[0] == trained[1]
    assert (tmp_path / "cpu/mnist.pth").read_bytes() == (tmp_path / "cuda:1/mnist.pth").read_bytes()
    tested = [run("cpu", "test", *options[:2], "--device", device).splitlines() for device in ["cpu", "cuda"]]
    assert tested[0][1:] == tested[1][1:] and [lines[0] for lines in tested] == ["cpu", "cuda"]
    assert "Imaginary GPU 0, 2 of them" in run("cpu", "devices")
