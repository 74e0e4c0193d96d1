"""The devices of this machine."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from ._library import DeviceInfoStruct, check, lib, sized

_NUMBERS = {"auto": 0, "cpu": 1, "cuda": 2, "mps": 3}


class DeviceInfo(NamedTuple):
    """What is known about a device, available or not.

    Attributes
    ----------
    device : str
        "cpu", "cuda" or "mps".
    available : bool
    count : int
        Devices of this kind that could be used; 1 for the cpu.
    threads : int
        cpu: the number of threads that ``threads=0`` allows; others 0.
    name : str
        The model; "" if not available.
    instruction_set : str
        cpu: "baseline", "avx2", "avx512" or "neon"; others "".
    reason : str
        Why it is not available, or why "auto" passes it over; "" otherwise.
    """

    device: str
    available: bool
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    threads: int
    name: str
    instruction_set: str
    reason: str


def device_number(device: str) -> int:
    """The C interface's number of a device."""
    if device not in _NUMBERS:
        raise ValueError(f"device must be auto, cpu, cuda or mps, not {device!r}")
    return _NUMBERS[device]


def device_and_index(device: str) -> tuple[int, int]:
    """The C interface's number of a device, and which of several it is: "cuda:1" is the second."""
    kind, colon, index = device.partition(":") if isinstance(device, str) else (device, "", "")
    if not colon:
        return device_number(kind), 0
    if kind not in ("cuda", "mps") or not (index.isascii() and index.isdigit()) or int(index) >= 2**31:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1, ..., or mps, not {device!r}")
    return device_number(kind), int(index)


def device_name(number: int) -> str:
    """The name of a device."""
    return str(lib.tln_device_name(number).decode())


def resolve_device(device: str = "auto") -> str:
    """The device that a request leads to.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}, default "auto"
        "auto" leads to cuda if available, else mps, else cpu; in this version never to mps, whose engine
        has not been run on Apple hardware yet.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For an unknown device.
    TwoLayerNetError
        For an explicit request that cannot be met, with the reason.
    """
    resolved = ctypes.c_int32()
    check(lib.tln_device_resolve(device_number(device), ctypes.byref(resolved)))
    return device_name(resolved.value)


def describe_device(device: str = "auto") -> DeviceInfo:
    """Describes a device, available or not.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}, default "auto"
        "auto" is what it leads to. ValueError for any other.

    Returns
    -------
    DeviceInfo
    """
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
