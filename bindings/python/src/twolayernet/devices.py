"""The devices of this machine."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from ._library import DeviceInfoStruct, check, lib, sized

_NUMBERS = {"auto": 0, "cpu": 1, "cuda": 2, "mps": 3}


class DeviceInfo(NamedTuple):
    """What is known about a device; ``reason`` says why it is not available."""

    device: str
    available: bool
    count: int
    threads: int
    name: str
    instruction_set: str
    reason: str


def device_number(device: str) -> int:
    """The C interface's number of a device."""
    if device not in _NUMBERS:
        raise ValueError(f"device must be auto, cpu, cuda or mps, not {device!r}")
    return _NUMBERS[device]


def device_name(number: int) -> str:
    """The name of a device."""
    return str(lib.tln_device_name(number).decode())


def resolve_device(device: str = "auto") -> str:
    """The device that a request leads to: cuda, then mps, then cpu for "auto".

    An explicit request that cannot be met raises TwoLayerNetError with the reason.
    """
    resolved = ctypes.c_int32()
    check(lib.tln_device_resolve(device_number(device), ctypes.byref(resolved)))
    return device_name(resolved.value)


def describe_device(device: str = "auto") -> DeviceInfo:
    """Describes a device, available or not."""
    info = sized(DeviceInfoStruct)
    check(lib.tln_device_describe(device_number(device), ctypes.byref(info)))
    return DeviceInfo(
        device_name(info.device),
        bool(info.available),
        info.count,
        info.threads,
        info.name.decode("utf-8", "replace"),
        info.instruction_set.decode(),
        info.reason.decode("utf-8", "replace"),
    )
