"""The machine a timing was taken on: a number without it means nothing."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnfold.latency import runtime

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Machine:
    """CPU, cores this process may use, its quota in cores, the load of the last minute.

    `device` is the CUDA device as nvidia-smi tells of it before the first run, where one is used.
    """

    cpu: str
    cores: int
    quota: float | None
    load: float | None
    system: str
    python: str
    numpy: str
    onnxruntime: str
    runtime_cuda: str | None
    device: dict[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)

    def same_as(self, other: dict[str, Any]) -> list[str]:
        """The names of what differs and would move a timing: hardware and runtime."""
        mine = asdict(self)
        keys = ("cpu", "cores", "quota", "onnxruntime", "runtime_cuda")
        differs = [key for key in keys if mine[key] != other.get(key)]
        mine, theirs = mine["device"] or {}, other.get("device") or {}
        return differs + [k for k in ("name", "driver") if mine.get(k) != theirs.get(k)]


def machine() -> Machine:
    """This machine, now.

    Raises:
        EnvironmentLacks: onnxruntime is not installed.
    """
    ort = runtime.onnxruntime()
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        quota=_quota(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=platform.system() + "-" + platform.machine(),
        python=platform.python_version(),
        numpy=np.__version__,
        onnxruntime=str(ort.__version__),
        runtime_cuda=getattr(ort, "cuda_version", None) or None,
    )


def _cores() -> int:
    return os.cpu_count() or 1


def _cpu_model() -> str:
    """The model and its widest vector unit: kernels differ by it."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(text.split())
    width = next((f for f in ("avx512f", "avx2", "asimd") if f in flags), "")
    return " ".join(filter(None, [name.group(1) if name else platform.machine(), width]))


def _quota() -> float | None:
    try:
        share, period = _CGROUP_QUOTA.read_text().split()[:2]
        return None if share == "max" else round(int(share) / int(period), 2)
    except (OSError, ValueError):
        return None
