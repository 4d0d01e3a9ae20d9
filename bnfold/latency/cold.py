"""A model's first moments, in a process of its own: loading, the first run, memory.

It is the gate as well: what crashes ONNX Runtime ends a child, not the caller.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from dataclasses import dataclass, fields
from typing import Any

from bnfold import child
from bnfold.errors import BnfoldError, EnvironmentLacks, ModelError
from bnfold.latency import binding, cuda, runtime, sessions
from bnfold.latency.device import cudnn


@dataclass(frozen=True, slots=True)
class Cold:
    """`load_ms` of the session, `first_run_ms`, how much the process's peak memory grew.

    `placed` counts the nodes that each provider was given. `device_mib` is how much more of the
    device's memory is in use afterwards: ONNX Runtime's arena gives nothing back, so it is a peak.
    """

    load_ms: float
    first_run_ms: float
    peak_mib: float
    provider_options: dict[str, Any]
    placed: dict[str, int] | None
    device_mib: float | None
    cudnn: str | None


def cold(
    path: str,
    label: str,
    how: sessions.Setting,
    feeds: list[tuple[str, int, list[int]]],
    seed: int,
    timeout_s: float = child.SECONDS,
) -> Cold:
    """Loads the model in a fresh process under limits and runs it twice, in `timeout_s` together.

    Raises:
        ModelError: ONNX Runtime does not load or does not run it.
        EnvironmentLacks: the provider is absent, or the CPU silently took its place.
    """
    asked = {"path": path, "how": how.to_dict(), "feeds": feeds, "seed": seed}
    try:
        memory = child.room_for(os.stat(path).st_size) if how.on_cpu else None
        told = child.ask("bnfold.latency.cold", asked, seconds=timeout_s, memory=memory)
    except child.TooSlow as failed:
        raise ModelError(
            f"ONNX Runtime fails on it: {failed}",
            where=label,
            hint="--timeout SECONDS, if the model is that slow",
        ) from None
    except child.ChildFailed as failed:
        raise ModelError(f"ONNX Runtime fails on it: {failed}", where=label) from None
    if "lacks" in told:
        raise EnvironmentLacks(told["lacks"], hint=told["hint"])
    if "failed" in told:
        what = f"ONNX Runtime cannot {told['during']} it: {told['failed']}"
        raise ModelError(what, where=label)
    return Cold(**{field.name: told[field.name] for field in fields(Cold)})


def _answer() -> None:
    asked = child.question()
    stage = _Stage()
    try:
        child.answer(_measured(asked, stage))
    except BnfoldError as error:
        child.answer({"lacks": error.message, "hint": error.hint})
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
        child.answer({"failed": _one_line(error), "during": stage.name})


@dataclass(slots=True)
class _Stage:
    """What was going on when it failed."""

    name: str = "load"


def _measured(asked: dict[str, Any], stage: _Stage) -> dict[str, Any]:
    how = sessions.setting(asked["how"])
    runtime.onnxruntime()
    from bnfold.latency import inputs

    arrays = inputs.arrays(asked["feeds"], asked["seed"])
    before, device_before = _peak_mib(), _device_mib(how)
    start = time.perf_counter()
    made = sessions.session(asked["path"], how, record=True)
    loaded = time.perf_counter()
    placed = sessions.placed(made)
    stage.name = "run"
    ready = time.perf_counter()
    made.run(None, arrays)
    first = time.perf_counter()
    made.run(None, arrays)
    device_after = _device_mib(how)
    options = made.get_provider_options().get(how.provider, {})
    return {
        "load_ms": (loaded - start) * 1e3,
        "first_run_ms": (first - ready) * 1e3,
        "peak_mib": _peak_mib() - before,
        "provider_options": {k: v for k, v in options.items() if k != binding.STREAM_OPTION},
        "placed": placed,
        "device_mib": device_after - device_before if device_after and device_before else None,
        "cudnn": None if how.on_cpu else cudnn(),
    }


def _device_mib(how: sessions.Setting) -> float | None:
    driver = None if how.on_cpu else cuda.driver()
    return None if driver is None else driver.used_bytes() / (1 << 20)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", text)[:400]


def _peak_mib() -> float:
    """Peak resident memory. `ru_maxrss` would still hold the parent's, from before exec."""
    try:
        with open("/proc/self/status") as status:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    except OSError:
        found = None
    if found:
        return int(found.group(1)) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    _answer()
