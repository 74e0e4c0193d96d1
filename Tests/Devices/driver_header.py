"""Whether the functions of NVIDIA's driver take what CUDALibrary.swift says they do: compares it with NVIDIA's
own header cuda.h, number by number and pointer by pointer. `make test-ptx`."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "Sources/TwoLayerNet/Devices/CUDA/CUDALibrary.swift"
# By a letter: pointers and handles, and numbers by their size.
LETTERS = {"Int32": "i", "DeviceNumber": "i", "Result": "i", "UInt32": "u", "UInt8": "c", "Int": "l", "UInt64": "l"}

PROGRAM = """
#include <cstddef>
#include <type_traits>
#define __CUDA_API_VERSION_INTERNAL 1 /* also the functions of older versions, under their own names */
#include <cuda.h>

template <class T> constexpr char letter() {
  if (std::is_pointer<T>::value) return 'p';
  if (sizeof(T) == 8) return 'l';
  if (sizeof(T) == 1) return 'c';
  return std::is_unsigned<T>::value ? 'u' : 'i';
}
template <> constexpr char letter<CUresult>() { return 'i'; }
template <> constexpr char letter<CUdevice_attribute>() { return 'i'; }
template <> constexpr char letter<CUfunction_attribute>() { return 'i'; }

template <class... A> constexpr bool takes(CUresult (*)(A...), const char *expected) {
  const char given[] = {letter<A>()..., 0};
  size_t i = 0;
  for (; i < sizeof...(A); i++)
    if (given[i] != expected[i]) return false;
  return expected[i] == 0;
}

/* CUDALibrary.KernelNode */
struct node {
  void *function;
  unsigned grid[3], block[3], shared_bytes;
  void **arguments, *extra;
};
static_assert(sizeof(node) == sizeof(CUDA_KERNEL_NODE_PARAMS_v1), "KernelNode");
static_assert(offsetof(node, grid) == offsetof(CUDA_KERNEL_NODE_PARAMS_v1, gridDimX), "gridX");
static_assert(offsetof(node, block) == offsetof(CUDA_KERNEL_NODE_PARAMS_v1, blockDimX), "blockX");
static_assert(offsetof(node, shared_bytes) == offsetof(CUDA_KERNEL_NODE_PARAMS_v1, sharedMemBytes), "sharedBytes");
static_assert(offsetof(node, arguments) == offsetof(CUDA_KERNEL_NODE_PARAMS_v1, kernelParams), "arguments");
static_assert(offsetof(node, extra) == offsetof(CUDA_KERNEL_NODE_PARAMS_v1, extra), "extra");
static_assert(CUDA_ERROR_OUT_OF_MEMORY == 2, "outOfMemory");
static_assert(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR == 75, "majorAttribute");
static_assert(CU_STREAM_NON_BLOCKING == 1, "nonBlocking");
static_assert(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE == 720, "tooManyTogether");
static_assert(CUDA_ERROR_NOT_SUPPORTED == 801, "notSupported");
static_assert(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES == 8, "launchTogether");
static_assert(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH == 95, "capacity");
static_assert(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT == 16, "capacity");
static_assert(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN == 97, "capacity");
"""


def parameters(text: str) -> str:
    """The letters of `(Out<Handle?>, UInt32) -> Result`."""
    depth, types = 0, [""]
    for character in text:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and depth == 0:
            types.append("")
        else:
            types[-1] += character
    return "".join(LETTERS.get(name.strip(), "p") for name in types)


def declared(source: str) -> dict[str, str]:
    """The functions by their names in the driver, with the letters of what they take."""
    kinds = {
        name: parameters(types)
        for name, types in re.findall(r"(?:let (\w+):|typealias ErrorName =)\s*@convention\(c\) \(\s*([^()]*?)\s*\) -> Result", source)
    }
    kinds["getErrorName"] = kinds.pop("")
    # In the initialiser, and those that are needed before it.
    places = re.findall(r'(\w+): symbols\["(\w+)"\]', source)
    places += re.findall(r'let (\w+): [^=\n]+ = try symbols\["(\w+)"\]', source)
    functions = {name: kinds.pop(place) for place, name in places}
    assert not kinds and len(functions) == source.count('symbols["'), kinds
    return functions


def main() -> int:
    package = importlib.util.find_spec("nvidia.cuda_runtime")
    if package is None or not package.submodule_search_locations:
        sys.exit("cuda.h is not installed: pip install -r Tests/Devices/requirements.txt")
    include = pathlib.Path(package.submodule_search_locations[0]) / "include"
    functions = declared(SOURCE.read_text())
    checks = "".join(f'static_assert(takes({name}, "{letters}"), "{name}");\n' for name, letters in functions.items())
    with tempfile.TemporaryDirectory() as directory:
        program = pathlib.Path(directory) / "driver_header.cpp"
        program.write_text(PROGRAM + checks)
        done = subprocess.run(["c++", "-std=c++17", "-fsyntax-only", f"-I{include}", program])
    if done.returncode == 0:
        print(f"{len(functions)} functions are as NVIDIA's header has them")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
