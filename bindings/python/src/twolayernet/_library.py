"""Finds the shared library, checks its version and declares its functions, as include/twolayernet.h does.

Searched are, in this order: the file that the environment variable TWOLAYERNET_LIBRARY names, this package
(where a wheel has the library), and the places where the system's loader looks.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

from .errors import BY_REASON, BY_STATUS, InputOutputError, TwoLayerNetError

__version__ = "0.1.0"

ENVIRONMENT_VARIABLE = "TWOLAYERNET_LIBRARY"
SONAME = "libtwolayernet.so.0"


class NetworkOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("input_size", c_int64),
        ("hidden_size", c_int64),
        ("output_size", c_int64),
        ("seed", c_uint64),
        ("device", c_int32),
        ("threads", c_int32),
        ("device_index", c_int32),
        ("reserved", c_int32),
    ]


class DatasetOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("features", c_void_p),
        ("feature_type", c_int32),
        ("rows", c_int64),
        ("columns", c_int64),
        ("row_stride_bytes", c_int64),
        ("labels", c_void_p),
        ("label_type", c_int32),
        ("copy", c_int32),
    ]


class TrainerOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("learning_rate", c_double),
        ("momentum", c_double),
        ("dampening", c_double),
        ("weight_decay", c_double),
        ("nesterov", c_int32),
        ("batch_size", c_int64),
        ("shuffle", c_int32),
        ("drop_last", c_int32),
        ("maximize", c_int32),
        ("reserved", c_int32),
        ("seed", c_uint64),
    ]


class ProgressStruct(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("epoch", c_int64),
        ("epochs", c_int64),
        ("step", c_int64),
        ("steps", c_int64),
        ("loss", c_float),
        ("mean_loss", c_double),
        ("rows_done", c_int64),
    ]


class EvaluationStruct(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_int64),
        ("correct", c_int64),
        ("accuracy", c_double),
        ("mean_loss", c_double),
    ]


class DeviceInfoStruct(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("device", c_int32),
        ("available", c_int32),
        ("count", c_int32),
        ("threads", c_int32),
        ("name", c_char * 128),
        ("instruction_set", c_char * 16),
        ("reason", c_char * 256),
    ]


ProgressCallback = CFUNCTYPE(c_int32, POINTER(ProgressStruct), c_void_p)

STRUCTS = {
    "tln_network_options": NetworkOptions,
    "tln_dataset_options": DatasetOptions,
    "tln_trainer_options": TrainerOptions,
    "tln_progress": ProgressStruct,
    "tln_evaluation": EvaluationStruct,
    "tln_device_info": DeviceInfoStruct,
}

HANDLE = c_void_p
OUT_HANDLE = POINTER(c_void_p)
OUT_INT64 = POINTER(c_int64)

# name: (result, arguments); a result of c_int32 is a status, but for the names below.
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "tln_version": (c_uint32, []),
    "tln_version_string": (c_char_p, []),
    "tln_status_name": (c_char_p, [c_int32]),
    "tln_last_error": (c_char_p, []),
    "tln_device_name": (c_char_p, [c_int32]),
    "tln_device_resolve": (c_int32, [c_int32, POINTER(c_int32)]),
    "tln_device_describe": (c_int32, [c_int32, POINTER(DeviceInfoStruct)]),
    "tln_network_options_init": (None, [POINTER(NetworkOptions)]),
    "tln_network_create": (c_int32, [POINTER(NetworkOptions), OUT_HANDLE]),
    "tln_network_load": (c_int32, [c_char_p, POINTER(NetworkOptions), OUT_HANDLE]),
    "tln_network_load_memory": (c_int32, [c_void_p, c_size_t, POINTER(NetworkOptions), OUT_HANDLE]),
    "tln_network_save": (c_int32, [HANDLE, c_char_p]),
    "tln_network_free": (None, [HANDLE]),
    "tln_network_sizes": (c_int32, [HANDLE, OUT_INT64, OUT_INT64, OUT_INT64]),
    "tln_network_get_device": (c_int32, [HANDLE, POINTER(c_int32)]),
    "tln_network_get_parameter": (c_int32, [HANDLE, c_char_p, c_void_p, c_size_t]),
    "tln_network_set_parameter": (c_int32, [HANDLE, c_char_p, c_void_p, c_size_t]),
    "tln_dataset_options_init": (None, [POINTER(DatasetOptions)]),
    "tln_dataset_create": (c_int32, [POINTER(DatasetOptions), OUT_HANDLE]),
    "tln_dataset_open_idx": (c_int32, [c_char_p, c_char_p, OUT_HANDLE]),
    "tln_dataset_open_mnist": (c_int32, [c_char_p, c_int32, OUT_HANDLE]),
    "tln_dataset_shape": (c_int32, [HANDLE, OUT_INT64, OUT_INT64]),
    "tln_dataset_read": (c_int32, [HANDLE, c_int64, c_int64, c_void_p, c_void_p]),
    "tln_dataset_free": (None, [HANDLE]),
    "tln_trainer_options_init": (None, [POINTER(TrainerOptions)]),
    "tln_trainer_create": (c_int32, [HANDLE, POINTER(TrainerOptions), OUT_HANDLE]),
    "tln_trainer_fit": (c_int32, [HANDLE, HANDLE, c_int64, ProgressCallback, c_void_p]),
    "tln_trainer_step": (c_int32, [HANDLE, c_void_p, c_void_p, c_int64, POINTER(c_float)]),
    "tln_trainer_set_learning_rate": (c_int32, [HANDLE, c_double]),
    "tln_trainer_get_position": (c_int32, [HANDLE, OUT_INT64, OUT_INT64]),
    "tln_trainer_cancel": (None, [HANDLE]),
    "tln_trainer_save": (c_int32, [HANDLE, c_char_p]),
    "tln_trainer_load": (c_int32, [HANDLE, c_char_p]),
    "tln_trainer_free": (None, [HANDLE]),
    "tln_network_logits": (c_int32, [HANDLE, c_void_p, c_int64, c_void_p]),
    "tln_network_probabilities": (c_int32, [HANDLE, c_void_p, c_int64, c_void_p]),
    "tln_network_predict": (c_int32, [HANDLE, c_void_p, c_int64, c_void_p]),
    "tln_network_evaluate": (c_int32, [HANDLE, HANDLE, POINTER(EvaluationStruct)]),
}


def _load() -> tuple[ctypes.CDLL, str]:
    """The library: named by the environment, beside this file, or the system's."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), SONAME)
    path = named or (beside if os.path.exists(beside) else SONAME)
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"the twolayernet library cannot be loaded from {path}: {error}. Install it on the system, "
            f"or set {ENVIRONMENT_VARIABLE} to the path of {SONAME}"
        ) from None
    _check_version(library, path)
    try:
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise ImportError(f"{path} is not a whole twolayernet library: {error}") from None
    return library, path


def _check_version(library: ctypes.CDLL, path: str) -> None:
    """Refuses a library whose interface is another one."""
    try:
        version_string = library.tln_version_string
    except AttributeError:
        raise ImportError(f"{path} is not a twolayernet library") from None
    version_string.restype = c_char_p
    found = version_string().decode()
    # Before 1.0 a minor version may change the interface, afterwards a major one.
    fixed = 2 if __version__.startswith("0.") else 1
    if found.split(".")[:fixed] != __version__.split(".")[:fixed]:
        raise ImportError(
            f"the twolayernet library {path} is version {found}, but this Python package is version "
            f"{__version__}: install both in the same version"
        )


lib, library_path = _load()


def check(status: int) -> None:
    """Raises what a status other than TLN_OK stands for."""
    if status == 0:
        return
    message = lib.tln_last_error().decode("utf-8", "replace")
    kind = BY_STATUS.get(status, TwoLayerNetError)
    if kind is InputOutputError:
        kind = BY_REASON.get(message.rsplit(": ", 1)[-1], kind)
    raise kind(message, status, lib.tln_status_name(status).decode())


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    """A path as the library takes it."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("a path cannot contain a NUL byte")
    return encoded


def sized(struct: Any) -> Any:
    """A struct whose struct_size is set."""
    value = struct()
    value.struct_size = ctypes.sizeof(struct)
    return value


def int64(name: str, value: Any) -> int:
    """An integer that fits the C interface."""
    number = value.__index__() if hasattr(value, "__index__") else None
    if number is None:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name} is {number}, which is beyond 64 bits")
    return int(number)


def real(name: str, value: Any) -> float:
    """A number that C takes as a double; what the library thinks of it is the library's business."""
    if not isinstance(value, str) and hasattr(value, "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass  # such as an array of several numbers
        except OverflowError:
            raise ValueError(f"{name} is too large") from None
    raise TypeError(f"{name} must be a number, not {type(value).__name__}")


def flag(name: str, value: Any) -> bool:
    """A truth value; the text "no" is none."""
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def seed64(seed: int) -> int:
    """A seed as the C interface takes it; a negative one counts as its two's complement."""
    if not hasattr(seed, "__index__"):
        raise TypeError(f"seed must be an integer, not {type(seed).__name__}")
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed is {seed}, which is beyond 64 bits")
    return int(seed) % 2**64
