"""The CUDA driver, asked without any package: a stream, events on it, memory, the device's speed.

ONNX Runtime's own stream cannot be reached from Python; given this one (`user_compute_stream`),
events before and after a run tell what the device itself took. Wherever a call fails there is no
such number, and nothing else changes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

_LIBRARY = "libcuda.so.1"
_NON_BLOCKING = 1
# CUdevice_attribute of the driver's cuda.h
_ATTRIBUTES = {
    "clock_khz": 13,
    "multiprocessors": 16,
    "memory_clock_khz": 36,
    "bus_bits": 37,
    "cache_bytes": 38,
    "major": 75,
    "minor": 76,
}


class CudaFailed(Exception):
    """A call of the driver that did not answer with success; `.args[0]` names it."""


class _Library(Protocol):
    def __getattr__(self, name: str) -> Callable[..., int]: ...


@dataclass(frozen=True, slots=True)
class Speed:
    """What bounds the first device: clocks at their highest, not as they are."""

    clock_khz: int
    multiprocessors: int
    memory_clock_khz: int
    bus_bits: int
    cache_bytes: int
    major: int
    minor: int


class Driver:
    """Device 0 with its primary context, the one that ONNX Runtime uses too."""

    def __init__(self, library: _Library) -> None:
        self._library = library
        context = ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self._call("cuCtxSetCurrent", context)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            raise CudaFailed(f"{name} answers {status}")

    def stream(self) -> int:
        """A new stream that waits for no other."""
        made = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(made), _NON_BLOCKING)
        return made.value or 0

    def event(self) -> ctypes.c_void_p:
        """A new event."""
        made = ctypes.c_void_p()
        self._call("cuEventCreate", ctypes.byref(made), 0)
        return made

    def record(self, event: ctypes.c_void_p, stream: int) -> None:
        """`event` happens when all that is on `stream` by now is done."""
        self._call("cuEventRecord", event, ctypes.c_void_p(stream))

    def elapsed_ms(self, first: ctypes.c_void_p, last: ctypes.c_void_p) -> float:
        """Between two recorded events; waits for the second."""
        taken = ctypes.c_float()
        self._call("cuEventSynchronize", last)
        self._call("cuEventElapsedTime", ctypes.byref(taken), first, last)
        return float(taken.value)

    def used_bytes(self) -> int:
        """Of the device's memory, by whomever."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return total.value - free.value

    def speed(self) -> Speed:
        """Clocks and widths as the driver states them."""
        return Speed(**self._attributes(_ATTRIBUTES))

    def _attributes(self, wanted: Mapping[str, int]) -> dict[str, int]:
        found = {}
        for name, number in wanted.items():
            value = ctypes.c_int()
            self._call("cuDeviceGetAttribute", ctypes.byref(value), number, 0)
            found[name] = value.value
        return found


@cache
def driver() -> Driver | None:
    """The driver, or None on a machine without one."""
    try:
        return Driver(ctypes.CDLL(_LIBRARY))
    except (OSError, AttributeError, CudaFailed):
        return None


@cache
def stream() -> int | None:
    """One stream for all sessions of this process, or None where there is none to be had."""
    found = driver()
    try:
        return found.stream() if found else None
    except CudaFailed:
        return None
