"""The device a timing was taken on: name, driver, clocks, and the cuDNN that was really loaded."""

from __future__ import annotations

import csv
import ctypes
import re
import subprocess
from pathlib import Path

_TIMEOUT_S = 20.0
# nvidia-smi's name -> ours
_ASKED = {
    "name": "name",
    "driver_version": "driver",
    "clocks.sm": "sm_clock_mhz",
    "clocks.mem": "memory_clock_mhz",
    "clocks.max.sm": "max_sm_clock_mhz",
    "temperature.gpu": "temperature_c",
    "power.draw": "power_w",
    "utilization.gpu": "utilization_percent",
    "clocks_throttle_reasons.active": "throttle_reasons",
}
_MAPS = Path("/proc/self/maps")


def device() -> dict[str, str] | None:
    """The first CUDA device as nvidia-smi tells of it now; None where it does not."""
    command = ["nvidia-smi", "--id=0", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [*command, f"--query-gpu={','.join(_ASKED)}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read(done.stdout) if done.returncode == 0 else None


def read(said: str) -> dict[str, str] | None:
    """A line of nvidia-smi's CSV by our names."""
    rows = list(csv.reader(said.strip().splitlines(), skipinitialspace=True))
    if not rows or len(rows[0]) != len(_ASKED):
        return None
    return dict(zip(_ASKED.values(), (cell.strip() for cell in rows[0]), strict=True))


def cudnn(maps: Path = _MAPS) -> str | None:
    """Version of the cuDNN in this process: of the library that is mapped, not of a package."""
    try:
        found = re.search(r"\S*/libcudnn\.so\S*", maps.read_text(errors="replace"))
        number = int(ctypes.CDLL(found.group(0)).cudnnGetVersion()) if found else None
    except (OSError, AttributeError):
        return None
    return None if number is None else cudnn_version(number)


def cudnn_version(number: int) -> str:
    """91002 is 9.10.2; before cuDNN 9 the major counted thousands: 8907 is 8.9.7."""
    major = 10_000 if number >= 90_000 else 1_000
    return f"{number // major}.{number % major // 100}.{number % 100}"
