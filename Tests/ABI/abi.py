"""The binary interface as lines of text, for comparing and recording.

    abi.py LIBRARY                  prints it
    abi.py LIBRARY --record         replaces Tests/ABI/abi.txt, unless that would break programs
    abi.py LIBRARY --record --break replaces it all the same, which needs another SONAME
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests"))

import header  # noqa: E402

RECORD = pathlib.Path(__file__).with_name("abi.txt")
# The same for libabigail, which sees types in debug information of C: that of a library of empty
# functions, since it knows Swift's by their symbols alone.
CORPUS = pathlib.Path(__file__).with_name("abi.xml")


def output(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def symbols(library: pathlib.Path) -> list[str]:
    """What the library exports, with versions, and what it is called."""
    lines = output("nm", "-D", "--defined-only", "--with-symbol-versions", library).splitlines()
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", output("readelf", "-d", library))
    return [f"soname {soname[0]}", *sorted(f"symbol {line.split()[2]}" for line in lines)]


def layouts(parsed: header.Header) -> list[str]:
    """Sizes and offsets, as the C compiler of this machine has them."""
    prints = []
    for name, fields in parsed.structs.items():
        prints.append(f'printf("struct {name} size %zu align %zu\\n", sizeof({name}), _Alignof({name}));')
        prints += [
            f'printf("field {name}.{field.name} at %zu size %zu {field.type}\\n", '
            f"offsetof({name}, {field.name}), sizeof((({name} *)0)->{field.name}));"
            for field in fields
        ]
    source = "#include <stdio.h>\n#include <twolayernet.h>\nint main(void) {\n" + "\n".join(prints) + "\n}\n"
    with tempfile.TemporaryDirectory() as directory:
        file, program = pathlib.Path(directory, "layout.c"), pathlib.Path(directory, "layout")
        file.write_text(source)
        output("cc", "-std=c11", "-I", header.HEADER.parent, file, "-o", program)
        return output(program).splitlines()


def interface(library: pathlib.Path) -> list[str]:
    parsed = header.parse()
    return [
        *symbols(library),
        *sorted(f"function {function}" for function in parsed.functions.values()),
        *sorted(f"callback {name} {type_}" for name, type_ in parsed.callbacks.items()),
        *(f"constant {name} {value}" for name, value in parsed.constants.items()),
        *layouts(parsed),
    ]


def breaks(old: list[str], new: list[str]) -> list[str]:
    """The lines of the old interface on which programs rely and which the new one lacks. A struct may grow
    at its end, because callers tell its size."""
    grown = {line.split()[1] for line in new if line.startswith("struct ")}
    sizes = {line.split()[1]: int(line.split()[3]) for line in [*new] if line.startswith("struct ")}
    missing = []
    for line in old:
        if line in new:
            continue
        words = line.split()
        if words[0] == "struct" and words[1] in grown and sizes[words[1]] > int(words[3]):
            continue
        missing.append(line)
    return missing


def stub(directory: pathlib.Path) -> pathlib.Path:
    """A library of empty functions with the declarations of the header and their debug information."""
    bodies = "".join(f"{function} {{ __builtin_trap(); }}\n" for function in header.parse().functions.values())
    source, library = directory / "stub.c", directory / "libtwolayernet.so.0"
    source.write_text("#include <twolayernet.h>\n" + bodies)
    options = ["-g", f"-fdebug-prefix-map={directory}=.", "-shared", "-fPIC", "-w", "-I", header.HEADER.parent]
    output("cc", *options, source, "-o", library)
    return library


def recorded() -> list[str]:
    return RECORD.read_text().splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--break", dest="may_break", action="store_true")
    arguments = parser.parse_args()
    lines = interface(arguments.library)
    if not arguments.record:
        print("\n".join(lines))
        return 0
    broken = breaks(recorded(), lines) if RECORD.exists() else []
    if broken and not arguments.may_break:
        print("programs compiled against the recorded interface would break:", *broken, sep="\n  ")
        return 1
    RECORD.write_text("\n".join(lines) + "\n")
    with tempfile.TemporaryDirectory() as directory:
        options = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-parameter-names"]
        CORPUS.write_text(output("abidw", *options, stub(pathlib.Path(directory))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
