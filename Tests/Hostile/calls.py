"""Calls one function of the library with every argument in turn made wrong, each time in a child process.

    calls.py LIBRARY FUNCTION DIRECTORY

The calls are made from the header's declarations: hostile values belong to types, valid ones to types and
names. Prints one line for each call that ended otherwise than the header promises, and the number of
calls; DIRECTORY is empty and takes files.
"""

from __future__ import annotations

import ctypes
import math
import os
import pathlib
import resource
import signal
import struct
import sys
from typing import Any, Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import header as headers  # noqa: E402

HEADER = headers.parse()
OK, INVALID, OUT_OF_MEMORY = 0, 1, 7
# Enough for every call here, and far less than what a hostile size asks for.
MEMORY = 1 << 30
SECONDS = 20

INPUT, HIDDEN, OUTPUT, ROWS = 4, 3, 2, 8

NUMBERS = {
    "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t, "float": ctypes.c_float, "double": ctypes.c_double, "tln_status": ctypes.c_int32,
    "tln_device": ctypes.c_int32,
}
HANDLES = {"tln_network", "tln_dataset", "tln_trainer"}
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)

# Pointers that the header lets be NULL: all of these types, and these parameters.
MAY_BE_NULL = {"labels_path", "out_loss", "user_data", "callback"}
MAY_BE_NULL_IN = {"tln_network_sizes", "tln_dataset_shape", "tln_dataset_read", "tln_trainer_get_position"}
# Sizes of the caller's arrays are only made so wrong that no array can have them: what is merely larger
# than the array cannot be told.
ARRAY_SIZES = {"rows", "columns", "row_stride_bytes", "count", "byte_count"}


def bare(type_: str) -> str:
    return type_.replace("const ", "").replace("*", "").strip()


def struct_class(name: str) -> type[ctypes.Structure]:
    """A ctypes structure as the header declares it."""
    def field(variable: headers.Variable) -> tuple[str, Any]:
        if variable.is_pointer:
            return variable.name, ctypes.c_void_p
        if "[" in variable.type:
            return variable.name, ctypes.c_char * int(variable.type.split("[")[1].rstrip("]"))
        return variable.name, NUMBERS[variable.type]

    return type(name, (ctypes.Structure,), {"_fields_": [field(variable) for variable in HEADER.structs[name]]})


STRUCTS = {name: struct_class(name) for name in HEADER.structs}


class World:
    """Objects for valid calls, and memory to point at."""

    def __init__(self, library: ctypes.CDLL, directory: pathlib.Path) -> None:
        self.library, self.directory = library, directory
        self.memory = ctypes.create_string_buffer(1 << 16)
        self.start = ctypes.addressof(self.memory) + 64 & ~63
        self.labels = (ctypes.c_int64 * 1024)()
        self.handles: dict[str, int] = {}
        for kind in ["tln_network", "tln_dataset", "tln_trainer"]:
            self.make_one(kind)
        self.network_file, self.trainer_file = directory / "network.pth", directory / "trainer.pth"
        assert self.call("tln_network_save", self.handle("tln_network"), os.fsencode(self.network_file)) == OK
        assert self.call("tln_trainer_save", self.handle("tln_trainer"), os.fsencode(self.trainer_file)) == OK
        for prefix in ["train", "t10k"]:
            images = struct.pack(">HBBIII", 0, 8, 3, ROWS, 2, 2) + bytes(4 * ROWS)
            (directory / f"{prefix}-images-idx3-ubyte").write_bytes(images)
            (directory / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, ROWS) + bytes(ROWS))

    def make_one(self, kind: str) -> None:
        options = self.options(kind + "_options")
        if kind == "tln_network":
            options.input_size, options.hidden_size, options.output_size = INPUT, HIDDEN, OUTPUT
            options.device = 1
        first = [self.handle("tln_network")] if kind == "tln_trainer" else []
        self.make(kind, getattr(self.library, kind + "_create"), *first, ctypes.byref(options))

    def make(self, kind: str, create: Callable[..., int], *arguments: Any) -> None:
        place = ctypes.c_void_p()
        status = create(*arguments, ctypes.byref(place))
        assert status == OK and place.value, (kind, status, self.library.tln_last_error())
        self.handles[kind] = place.value

    def freed(self, kind: str) -> ctypes.c_void_p:
        """A handle that is none any more."""
        kept = dict(self.handles)
        self.make_one(kind)
        freed = self.handle(kind)
        self.handles = kept
        getattr(self.library, kind + "_free")(freed)
        return freed

    def handle(self, kind: str) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.handles[kind])

    def call(self, name: str, *arguments: Any) -> int:
        return int(getattr(self.library, name)(*arguments))

    def options(self, kind: str) -> ctypes.Structure:
        """Valid options, or a struct that is ready to receive a result."""
        value = STRUCTS[kind]()
        if hasattr(self.library, kind + "_init"):
            getattr(self.library, kind + "_init")(ctypes.byref(value))
        value.struct_size = ctypes.sizeof(value)
        if kind == "tln_dataset_options":
            value.features, value.rows, value.columns = self.start, ROWS, INPUT
            value.labels, value.copy = ctypes.addressof(self.labels), 1
        return value

    def valid(self, function: headers.Function, parameter: headers.Variable) -> Any:
        """An argument with which the function succeeds."""
        type_, name = parameter.type, parameter.name
        kind = bare(type_)
        if type_.endswith("**"):
            return ctypes.byref(ctypes.c_void_p(0xDEAD))
        if kind in HANDLES:
            return self.handle(kind)
        if kind in STRUCTS:
            return ctypes.byref(self.options(kind))
        if kind == "char":
            return os.fsencode(self.text(function.name, name))
        if kind == "tln_progress_callback":
            return CALLBACK(lambda progress, _: 1 if ctypes.c_int64.from_address(progress + 8).value > 3 else 0)
        if type_ == "const int64_t *":
            return self.labels
        if type_ == "const void *":
            self.file = self.network_file.read_bytes()
            return self.file
        if parameter.is_pointer:
            return ctypes.c_void_p(self.start)
        values = {"rows": ROWS, "byte_count": self.network_file.stat().st_size, "count": HIDDEN, "train": 1,
                  "epochs": 1, "learning_rate": 0.1, "first_row": 0, "device": 1, "requested": 1}
        return NUMBERS[type_](values.get(name, 0))

    def text(self, function: str, name: str) -> str:
        files = {"images_path": "train-images-idx3-ubyte", "labels_path": "train-labels-idx1-ubyte", "directory": ""}
        if name == "name":
            return "layers.0.bias"
        if name == "path":
            return str(self.trainer_file if "trainer" in function else self.network_file)
        return str(self.directory / files[name])


Case = tuple[str, Any, "set[int] | None"]


def integers(type_: str, name: str) -> Iterator[Case]:
    """Hostile numbers, and the statuses they may lead to (None: whatever is sensible)."""
    bits = 8 * ctypes.sizeof(NUMBERS[type_])
    signed = type_ not in ("size_t", "uint32_t", "uint64_t")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if name in ARRAY_SIZES:
        wrong = [0, -1, -2, low, high, high - 1, 1 << 62, 1 << 61, high // 2 + 1]
        zero_is_fine = {"byte_count"}
        for value in wrong:
            if low <= value <= high:
                refused = None if value == 0 or name in zero_is_fine else {INVALID, OUT_OF_MEMORY}
                yield str(value), NUMBERS[type_](value), refused
        return
    values = {0, 1, 2, 3, 99, -1, -2, low, low + 1, high, high - 1, high // 2, 1 << 24, (1 << 24) + 1, 1 << 31, 1 << 32}
    for value in sorted(values):
        if low <= value <= high:
            yield str(value), NUMBERS[type_](value), None


def doubles(type_: str) -> Iterator[Case]:
    for value in [math.nan, math.inf, -math.inf, 1e308, -1e308]:
        yield str(value), NUMBERS[type_](value), {INVALID}
    for value in [0.0, -0.0, 5e-324, 1e38]:
        yield str(value), NUMBERS[type_](value), None


def texts(world: World) -> Iterator[Case]:
    directory = world.directory
    files = {"empty.pth": b"", "short.pth": b"PK\3\4", "noise.pth": bytes(range(256)) * 64,
             "full-length.safetensors": b"\xff" * 8 + b"{}"}
    for name, contents in files.items():
        (directory / name).write_bytes(contents)
    special = {"null.pth": "/dev/null", "zero.pth": "/dev/zero", "full.pth": "/dev/full", "loop.pth": "loop.pth",
               "memory.pth": "/proc/self/mem", "nowhere.pth": "/nowhere/at/all.pth"}
    for name, target in special.items():
        if not os.path.lexists(directory / name):
            os.symlink(target, directory / name)
    if not os.path.lexists(directory / "pipe.pth"):
        os.mkfifo(directory / "pipe.pth")
    yield "empty text", b"", {INVALID}
    yield "invalid UTF-8", b"\xff\xfe\x80.pth", {INVALID, 2}
    yield "overlong UTF-8", b"\xc0\xae.pth", {INVALID, 2}
    for count in [255, 4095, 4096, 5000, 1 << 20]:
        yield f"{count} bytes", b"a" * (count - 4) + b".pth", None
    yield "control characters", b"\x01\n\x7f\x1b[31m.pth", None
    yield "format", b"%s%n%s%n.pth", None
    yield "directory", os.fsencode(directory), None
    yield "directory/", os.fsencode(directory) + b"/", None
    yield "file/file", os.fsencode(directory / "empty.pth/x.pth"), None
    for name in [*files, *special, "pipe.pth", "absent.pth", "absent.xyz"]:
        yield name, os.fsencode(directory / name), None


def struct_cases(world: World, parameter: headers.Variable) -> Iterator[Case]:
    """Each field of a struct made wrong, and its size."""
    kind = bare(parameter.type)
    size = ctypes.sizeof(STRUCTS[kind])
    is_input = parameter.type.startswith("const")

    def placed(value: ctypes.Structure, tail: bytes = bytes(8192)) -> Any:
        return ctypes.create_string_buffer(bytes(value) + tail, size + len(tail))

    for length, allowed in [
        (0, {INVALID}), (1, {INVALID}), (7, {INVALID}), (8, None), (9, {INVALID}), (12, {INVALID}),
        (size - 1, {INVALID}), (size - 8, None),
        (size + 8, {OK}), (4096, {OK}), (4097, {INVALID}), (1 << 32, {INVALID}), ((1 << 63) - 1, {INVALID}),
        ((1 << 64) - 1, {INVALID}),
    ]:
        value = world.options(kind)
        value.struct_size = length
        yield f"struct_size = {length}", placed(value), allowed
    value = world.options(kind)
    value.struct_size = size + 8
    yield "non-zero tail", placed(value, b"\0" * 7 + b"\1" + bytes(100)), {4} if is_input else {OK}
    if not is_input:
        return
    for field in HEADER.structs[kind]:
        if field.name == "struct_size":
            continue
        if field.is_pointer:
            wrong: Iterator[Case] = iter([("NULL", 0, None if field.name == "labels" else {INVALID})])
        elif field.type in ("float", "double"):
            wrong = ((text, number.value, allowed) for text, number, allowed in doubles(field.type))
        else:
            wrong = ((text, number.value, allowed) for text, number, allowed in integers(field.type, field.name))
        for text, number, allowed in wrong:
            value = world.options(kind)
            setattr(value, field.name, number)
            yield f"{field.name} = {text}", placed(value), allowed


def hostile(world: World, function: headers.Function, parameter: headers.Variable) -> Iterator[Case]:
    type_, name = parameter.type, parameter.name
    kind = bare(type_)
    optional = name in MAY_BE_NULL or function.name in MAY_BE_NULL_IN and name.startswith("out_")
    optional |= kind.endswith("_options")
    optional |= name == "options" and function.result == "void"
    if parameter.is_pointer or kind == "tln_progress_callback":
        refused = None if optional or function.name == "tln_dataset_create" and kind in STRUCTS else {INVALID}
        yield "NULL", None, refused
    if type_.endswith("**") or kind in HANDLES:
        for offset in [1, 2, 4]:
            place = world.start if type_.endswith("**") else world.handles[kind]
            if function.result != "void":
                yield f"misaligned by {offset}", ctypes.c_void_p(place + offset), {INVALID}
        if kind in HANDLES and not type_.endswith("**"):
            for other in sorted(HANDLES - {kind}):
                yield f"a {other}", world.handle(other), {INVALID}
            # The GNU C library's allocator writes over what is freed; others need not.
            yield "freed", world.freed(kind), {INVALID}
    elif kind in STRUCTS:
        yield from struct_cases(world, parameter)
    elif kind == "char":
        yield from texts(world)
    elif parameter.is_pointer and kind != "void":
        for offset in range(1, ctypes.sizeof(NUMBERS[kind])):
            yield f"misaligned by {offset}", ctypes.c_void_p(world.start + offset), {INVALID}
        if type_ == "const float *":
            for number in [math.nan, math.inf, -math.inf]:
                values = (ctypes.c_float * (ROWS * INPUT))()
                values[HIDDEN - 1] = number
                yield str(number), values, {INVALID}
        if type_ == "const int64_t *":
            for label in [-1, OUTPUT, (1 << 63) - 1, -(1 << 63), 1 << 32]:
                labels = (ctypes.c_int64 * ROWS)(*[0] * (ROWS - 1), label)
                yield f"label {label}", labels, {INVALID}
    elif kind in ("float", "double"):
        yield from doubles(kind)
    elif kind in NUMBERS:
        yield from integers(kind, name)


def call(world: World, function: headers.Function, arguments: list[Any]) -> str:
    """Makes the call and says what is wrong with its result; "" if nothing."""
    places = []
    for index, parameter in enumerate(function.parameters):
        # A handle's place is filled with something that must be gone afterwards.
        if parameter.type.endswith("**") and isinstance(arguments[index], type(ctypes.byref(ctypes.c_int()))):
            places.append(arguments[index]._obj)
    result = getattr(world.library, function.name)(*arguments)
    if function.result.endswith("*"):
        return "" if result is not None else "returned NULL"
    if function.result != "tln_status":
        return ""
    message = world.library.tln_last_error()
    if not OK <= result <= max(HEADER.constants[name] for name in HEADER.constants if name.startswith("TLN_INTERNAL")):
        return f"status {result} is none"
    if result == OK:
        return "" if message == b"" else f"succeeded with the message {message!r}"
    message.decode()
    wrong = [] if message else ["no message"]
    if result == HEADER.constants["TLN_INTERNAL"]:
        wrong.append(f"an internal error: {message!r}")
    wrong += ["its handle is not NULL" for place in places if place.value is not None]
    return f"status {result}, {' and '.join(wrong)}" if wrong else f"={result}"


def in_child(world: World, function: headers.Function, arguments: list[Any], allowed: set[int] | None) -> str:
    """What went wrong with the call; "" if nothing."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        in_use = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            text = call(world, function, arguments)
        except BaseException as error:  # noqa: BLE001: it is reported
            text = f"{type(error).__name__}: {error}"
        os.write(write_end, (text or "=0").encode()[:4000])
        if hasattr(world.library, "coverage_write"):
            world.library.coverage_write()  # a build that counts the lines it runs
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "does not return" if number == signal.SIGALRM else f"died of {signal.Signals(number).name}"
    if not text.startswith("="):
        return text
    if function.result == "tln_status" and allowed is not None and int(text[1:]) not in allowed:
        return f"status {text[1:]} instead of {' or '.join(str(status) for status in sorted(allowed))}"
    return ""


def main() -> int:
    library = ctypes.CDLL(sys.argv[1])
    for function in HEADER.functions.values():
        results = {"void": None, "uint32_t": ctypes.c_uint32, "tln_status": ctypes.c_int32}
        getattr(library, function.name).restype = results.get(function.result, ctypes.c_char_p)
    function = HEADER.functions[sys.argv[2]]
    world = World(library, pathlib.Path(sys.argv[3]))

    def arguments() -> list[Any]:
        return [world.valid(function, parameter) for parameter in function.parameters]

    wrong, count = [], 1
    if text := in_child(world, function, arguments(), {OK}):
        wrong.append(f"valid arguments: {text}")
    for index, parameter in enumerate(function.parameters):
        for case, value, allowed in hostile(world, function, parameter):
            changed = arguments()
            changed[index] = value
            count += 1
            if text := in_child(world, function, changed, allowed):
                wrong.append(f"{parameter.name} = {case}: {text}")
    print("\n".join([*wrong, f"{count} calls"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
