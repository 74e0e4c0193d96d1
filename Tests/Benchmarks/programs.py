"""The small C programs beside this file, compiled when the benchmark starts."""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def build(place: pathlib.Path, names: list[str] | None = None) -> dict[str, str]:
    """Compiles them into a directory; their paths by name."""
    compiler = os.environ.get("CC", "cc")
    built = {}
    for source in sorted((HERE / "programs").glob("*.c")):
        if names and source.stem not in names:
            continue
        program = place / source.stem
        command = [compiler, "-O3", "-ffp-contract=fast", "-Wall", "-Wextra"]
        # Only the peak is about this processor; the others also run under valgrind, which knows no AVX-512.
        if source.stem == "fma_peak":
            command.append("-march=native")
        command += [f"-I{ROOT}/include", str(source), "-o", str(program)]
        command += [f"-L{ROOT}/dist", "-ltwolayernet", "-lz", "-ldl", f"-Wl,-rpath,{ROOT}/dist"]
        subprocess.run(command, check=True)
        built[source.stem] = str(program)
    return built
