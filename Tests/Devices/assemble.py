"""Whether NVIDIA's ptxas takes the PTX in the repository, for cards of many years: a table of the registers and
the spilled bytes of each kernel. A kernel that spills more than a few bytes is an error. `make test-ptx`."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

GENERATE = pathlib.Path(__file__).resolve().parents[2] / "Sources/CGPUKernels/generate.py"
ARCHITECTURES = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
# Stores and loads together, of the worst kernel and a little more. Launch bounds let two groups share a
# multiprocessor, which leaves a thread 128 registers; tlng_update_tiled would take up to 246.
SPILLED_BYTES = {"sm_50": 512, "sm_60": 512, "sm_70": 512}
SPILLED_BYTES_OF_NEWER = 256


def find_ptxas() -> pathlib.Path:
    package = importlib.util.find_spec("nvidia.cuda_nvcc")
    if package is None or not package.submodule_search_locations:
        sys.exit("ptxas is not installed: pip install -r Tests/Devices/requirements.txt")
    ptxas = pathlib.Path(package.submodule_search_locations[0]) / "bin/ptxas"
    os.chmod(ptxas, 0o755)
    return ptxas


def assemble(ptxas: pathlib.Path, ptx: pathlib.Path, architecture: str) -> list[tuple[str, int, int]]:
    """Name, registers and spilled bytes of each kernel."""
    command = [ptxas, "-v", f"-arch={architecture}", ptx, "-o", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{architecture}: {done.stderr}")
    kernels = []
    for part in done.stderr.split("Compiling entry function '")[1:]:
        spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        registers = re.search(r"Used (\d+) registers", part)
        assert spilled and registers, part
        kernels.append((part.split("'")[0], int(registers[1]), int(spilled[1]) + int(spilled[2])))
    return kernels


def main() -> int:
    ptxas = find_ptxas()
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        ptx = pathlib.Path(directory) / "kernels.ptx"
        subprocess.run([sys.executable, GENERATE, "--text", ptx], check=True)
        for architecture in ARCHITECTURES:
            for name, registers, spilled in sorted(assemble(ptxas, ptx, architecture)):
                print(f"{architecture:7} {name:28} {registers:4} registers {spilled:4} bytes spilled")
                limit = SPILLED_BYTES.get(architecture, SPILLED_BYTES_OF_NEWER)
                if spilled > limit:
                    print(f"{architecture}: {name} spills more than {limit} bytes", file=sys.stderr)
                    failures += 1
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
