"""The declarations of the binding are those of the header."""

import ctypes
import pathlib
import re
import subprocess

import pytest

from twolayernet import _library

HEADER = pathlib.Path(__file__).resolve().parents[3] / "include/twolayernet.h"
TEXT = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
DECLARED = dict(re.findall(r"TLN_API[^;(]*?\b(tln_\w+)\(([^)]*)\)", TEXT))


def test_every_function_is_declared():
    assert sorted(_library.FUNCTIONS) == sorted(DECLARED)


def c_kind(argument):
    """What an argument of the header is to ctypes, as far as its size and kind go."""
    if "*" in argument or "callback" in argument:
        return "pointer"
    names = {"int32_t": "c_int", "tln_device": "c_int", "tln_status": "c_int", "int64_t": "c_long",
             "size_t": "c_ulong", "double": "c_double"}
    return names[argument.split()[-2] if len(argument.split()) > 1 else argument.strip()]


def python_kind(argument):
    name = argument.__name__
    return name if name in ("c_int", "c_long", "c_ulong", "c_double") else "pointer"


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_arguments(name):
    arguments = [a for a in DECLARED[name].split(",") if a.strip() != "void"]
    expected = [c_kind(a) for a in arguments]
    assert [python_kind(a) for a in _library.FUNCTIONS[name][1]] == expected


@pytest.mark.parametrize("name", sorted(_library.STRUCTS))
def test_structs(name, tmp_path):
    struct = _library.STRUCTS[name]
    fields = [field[0] for field in struct._fields_]
    source = tmp_path / "offsets.c"
    offsets = "".join(f'printf("%zu ", offsetof({name}, {field}));' for field in fields)
    source.write_text(
        "#include <stdio.h>\n#include <twolayernet.h>\n"
        f'int main(void) {{ {offsets} printf("%zu\\n", sizeof({name})); return 0; }}\n'
    )
    program = tmp_path / "offsets"
    subprocess.run(["cc", "-I", HEADER.parent, source, "-o", program], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    own = [getattr(struct, field).offset for field in fields] + [ctypes.sizeof(struct)]
    assert [int(number) for number in printed] == own
    body = re.search(rf"typedef struct {name} {{(.*?)}} {name};", TEXT, re.S)[1]
    assert re.findall(r"(\w+)(?:\[\d+\])?;", body) == fields
