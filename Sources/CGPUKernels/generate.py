#!/usr/bin/env python3
"""Compiles the GPU kernels to PTX, which the driver of any NVIDIA card compiles for its own: kernels.ptx.z.

    pip install nvidia-cuda-nvrtc-cu12==12.1.105     (the compiler; it needs no card and no driver)
    python Sources/CGPUKernels/generate.py [--text FILE] [TARGET]

TARGET is the packed file, which CUDAProgram.swift unpacks. With --text FILE the text goes there, to read it
or to give it to ptxas.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import pathlib
import re
import struct
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
COMPILER = "nvidia-cuda-nvrtc-cu12==12.1.105"
TEXT = "kernels.h"
HEADERS = sorted(path.name for path in HERE.glob("*.h") if path.name not in (TEXT, "ptx.h"))
OPTIONS = [
    # The oldest that this compiler knows; every card since 2014 runs it.
    "--gpu-architecture=compute_50",
    # A product and a sum stay two operations with a rounding each, where the text doesn't say fma.
    "--fmad=false",
    "--std=c++14",
]
# What PTX of this compiler says it is, and the oldest version that has all that the kernels use: that of
# CUDA 11.0, so that older drivers take it.
VERSION, OLDER_VERSION = ".version 8.1", ".version 7.0"


class NotInstalled(Exception):
    """The compiler isn't there."""


def compiler() -> ctypes.CDLL:
    """NVRTC, from its Python package."""
    try:
        package = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        package = None
    if package is None or not package.submodule_search_locations:
        raise NotInstalled(f"NVRTC is not installed: pip install {COMPILER}")
    return ctypes.CDLL(str(pathlib.Path(package.submodule_search_locations[0]) / "lib/libnvrtc.so.12"))


def compile_text(nvrtc: ctypes.CDLL) -> str:
    """The PTX of the kernels."""
    program = ctypes.c_void_p()
    names = (ctypes.c_char_p * len(HEADERS))(*[name.encode() for name in HEADERS])
    texts = (ctypes.c_char_p * len(HEADERS))(*[(HERE / name).read_bytes() for name in HEADERS])
    source = (HERE / TEXT).read_bytes()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, TEXT.encode(), len(HEADERS), texts, names))
    options = (ctypes.c_char_p * len(OPTIONS))(*[option.encode() for option in OPTIONS])
    result = nvrtc.nvrtcCompileProgram(program, len(OPTIONS), options)
    log = contents(nvrtc, program, "ProgramLog")
    if log.strip():
        sys.exit(f"NVRTC:\n{log}")
    check(result)
    return contents(nvrtc, program, "PTX")


def contents(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> str:
    """The log or the PTX of a program."""
    size = ctypes.c_size_t()
    check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    check(getattr(nvrtc, f"nvrtcGet{what}")(program, text))
    return text.value.decode()


def check(result: int) -> None:
    if result != 0:
        sys.exit(f"NVRTC failed with error {result}")


# Registers and labels, by what stands before their number; in the order of their own in the packed form.
KINDS = ["%p", "%rs", "%r", "%rd", "%f", "$"]
NAME = re.compile(r"(%rs|%rd|%r|%f|%p|\$)(\d+)\b")
FUNCTION = re.compile(r"^(?=(?:\.visible )?\.(?:entry|func)\b)", re.M)


def shortened(ptx: str) -> str:
    """The same program without comments, spare blanks and constants that nothing uses, with short names
    for what is internal, and with registers and labels of each function numbered as they appear."""
    ptx = re.sub(r"//[^\n]*", "", ptx)
    assert ptx.count(VERSION) == 1, "not the compiler that this was written for"
    ptx = ptx.replace(VERSION, OLDER_VERSION)
    ptx = re.sub(r"^\.global [^\n]*nv6target[^\n]*\n", "", ptx, flags=re.M)
    ptx = re.sub(r"[ \t]+", " ", ptx)
    ptx = re.sub(r" ?([,;]) ?", r"\1", ptx)
    internal: dict[str, str] = {}
    ptx = re.sub(r"\b_ZN?\w+", lambda name: internal.setdefault(name[0], f"i{len(internal)}"), ptx)
    ptx = re.sub(r"\$L__BB\d+_", "$", ptx)
    ptx = "".join(f"{line.strip()}\n" for line in ptx.splitlines() if line.strip())
    return "".join(renumbered(function) for function in FUNCTION.split(ptx))


def renumbered(function: str) -> str:
    numbers: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}

    def new(name: re.Match[str]) -> str:
        known = numbers[name[1]]
        return name[1] + str(known.setdefault(name[2], len(known) + 1))

    return NAME.sub(new, function)


def relative(ptx: str) -> bytes:
    """The text with each name as a byte of 128 and its kind, and a byte that says how many of its kind have
    appeared since it first did, counted from 1, or 0 for a new one: what repeats itself in a program then
    repeats itself in the bytes. 255 stands before two bytes for more. 143 begins a function."""
    result = bytearray()
    for function in FUNCTION.split(ptx):
        counts = dict.fromkeys(KINDS, 0)
        end = 0
        result.append(143)
        for name in NAME.finditer(function):
            result += function[end : name.start()].encode("ascii")
            end = name.end()
            back = counts[name[1]] + 1 - int(name[2])
            counts[name[1]] += back == 0
            assert 0 <= back < 65536
            result.append(128 + KINDS.index(name[1]))
            result += bytes([back]) if back < 255 else bytes([255, back & 255, back >> 8])
        result += function[end:].encode("ascii")
    return bytes(result)


def packed(ptx: str) -> bytes:
    """As the library has it: sizes of the text and of its relative form, which follows as a zlib stream."""
    contents = relative(ptx)
    return struct.pack("<II", len(ptx), len(contents)) + zlib.compress(contents, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=pathlib.Path, default=HERE / "kernels.ptx.z")
    parser.add_argument("--text", type=pathlib.Path, help="write the PTX here, and nothing else")
    arguments = parser.parse_args()
    try:
        ptx = shortened(compile_text(compiler()))
    except NotInstalled as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    if arguments.text:
        arguments.text.write_text(ptx)
    else:
        arguments.target.write_bytes(packed(ptx))


if __name__ == "__main__":
    main()
