"""What include/twolayernet.h declares, read by a C parser: functions, structs and constants.

Tests that are generated from it cover a new function or field without anyone remembering.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import subprocess

from pycparser import c_ast, c_generator, c_parser

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "include/twolayernet.h"


@dataclasses.dataclass(frozen=True)
class Variable:
    """A parameter or a field: its C type, such as "const tln_network *", and its name."""

    type: str
    name: str

    @property
    def is_pointer(self) -> bool:
        return self.type.endswith("*")

    def __str__(self) -> str:
        return f"{self.type}{'' if self.is_pointer else ' '}{self.name}"


@dataclasses.dataclass(frozen=True)
class Function:
    name: str
    result: str
    parameters: tuple[Variable, ...]

    def __str__(self) -> str:
        parameters = ", ".join(str(parameter) for parameter in self.parameters) or "void"
        return f"{Variable(self.result, self.name)}({parameters})"


@dataclasses.dataclass(frozen=True)
class Header:
    functions: dict[str, Function]
    structs: dict[str, tuple[Variable, ...]]
    constants: dict[str, int]
    callbacks: dict[str, str]


def _type(node: c_ast.Node) -> str:
    return str(c_generator.CGenerator().visit(c_ast.Typename(None, [], None, node)))


def _variable(declaration: c_ast.Decl) -> Variable:
    return Variable(_type(_without_name(declaration.type)), declaration.name)


def _without_name(node: c_ast.Node) -> c_ast.Node:
    if isinstance(node, c_ast.TypeDecl):
        return c_ast.TypeDecl(None, node.quals, None, node.type)
    if isinstance(node, c_ast.ArrayDecl):
        return c_ast.ArrayDecl(_without_name(node.type), node.dim, node.dim_quals)
    return c_ast.PtrDecl(node.quals, _without_name(node.type))


@functools.cache
def parse(path: pathlib.Path = HEADER) -> Header:
    """The header's own declarations; those of the C library are left out."""
    flags = ["-std=c99", "-E", "-P", "-D__attribute__(x)=", "-D__extension__="]
    source = subprocess.run(["cc", *flags, path], check=True, capture_output=True, text=True).stdout
    functions, structs, constants, callbacks = {}, {}, {}, {}
    for node in c_parser.CParser().parse(source).ext:
        kind = getattr(node, "type", None)
        if isinstance(kind, c_ast.Enum) and kind.values:
            for item in kind.values.enumerators:
                constants[item.name] = int(item.value.value, 0)
        if not (getattr(node, "name", None) or "").startswith("tln_"):
            continue
        if isinstance(kind, c_ast.FuncDecl):
            parameters = [p for p in kind.args.params if not isinstance(p, c_ast.Typename)]
            functions[node.name] = Function(
                node.name, _type(_without_name(kind.type)), tuple(_variable(p) for p in parameters)
            )
        elif isinstance(node, c_ast.Typedef) and isinstance(kind, c_ast.PtrDecl):
            callbacks[node.name] = _type(kind).replace(node.name, "")
        elif isinstance(node, c_ast.Typedef) and isinstance(kind.type, c_ast.Struct) and kind.type.decls:
            structs[node.name] = tuple(_variable(field) for field in kind.type.decls)
    return Header(functions, structs, constants, callbacks)
