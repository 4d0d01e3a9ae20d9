"""Whole processes, timed: wall, CPU (user + system) and peak memory, interleaved and paired.

Imports nothing heavy: a child's peak memory as the kernel counts it starts with its parent's.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds, seconds, MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True)
class Failed:
    """A process that did not end well."""

    why: str


def run(command: Sequence[str], timeout_s: float = 600) -> Cost | Failed:
    """Runs `command` with one thread and answers what it cost."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD}
        )
        status, usage = _wait(process, start + timeout_s)
        wall_s = time.perf_counter() - start
        if status is None or usage is None:
            return Failed(f"more than {timeout_s:.0f} s")
        if status != 0:
            said.seek(0)
            return Failed(_last_line(said.read().decode(errors="replace")) or f"status {status}")
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)


def _wait(
    process: subprocess.Popen[bytes], deadline: float
) -> tuple[int | None, resource.struct_rusage | None]:
    """Status and usage of this one child, Nones where the deadline passed."""
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if time.perf_counter() > deadline:
            process.kill()
            process.wait()
            return None, None
        time.sleep(0.001)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""


def interleaved(
    commands: Mapping[str, Sequence[str]], rounds: int, seed: int = 0
) -> dict[str, list[Cost]]:
    """Runs each command `rounds` times, in a seeded order that is new in every round.

    One run of each goes before, which fills the caches. A command that fails is dropped, with a
    line that says why.
    """
    alive = dict(commands)
    costs: dict[str, list[Cost]] = {}
    rng = random.Random(seed)
    for number in range(-1, rounds):
        for name in rng.sample(sorted(alive), len(alive)):
            cost = run(alive[name])
            if isinstance(cost, Failed):
                print(f"{name}: failed: {cost.why}", file=sys.stderr)
                del alive[name]
                costs.pop(name, None)
            elif number >= 0:
                costs.setdefault(name, []).append(cost)
    return costs


def table(costs: Mapping[str, Sequence[Cost]], beside: str) -> str:
    """Markdown: medians, and the median over rounds of the ratio to `beside`."""
    heads = ("CPU s", "wall s", "least wall s", "peak MiB", f"CPU / {beside}", f"wall / {beside}")
    lines = [f"| process | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for name, runs in costs.items():
        cells = [
            f"{statistics.median(c.cpu_s for c in runs):.3f}",
            f"{statistics.median(c.wall_s for c in runs):.3f}",
            f"{min(c.wall_s for c in runs):.3f}",
            f"{statistics.median(c.peak_mib for c in runs):.0f}",
            *(_ratio(runs, costs.get(beside, ()), of) for of in ("cpu_s", "wall_s")),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(runs: Sequence[Cost], base: Sequence[Cost], of: str) -> str:
    pairs = list(zip(runs, base, strict=False))
    if not pairs:
        return "-"
    return f"{statistics.median(getattr(a, of) / getattr(b, of) for a, b in pairs):.2f}"


def save(path: str | None, costs: Mapping[str, Sequence[Cost]]) -> None:
    """Every run as JSON, where a path is given."""
    if path:
        plain = {name: [vars(cost) for cost in runs] for name, runs in costs.items()}
        Path(path).write_text(json.dumps(plain, indent=1) + "\n")


def machine() -> str:
    """One line on where this ran."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    names = Path("/proc/cpuinfo")
    text = names.read_text() if names.exists() else ""
    model = next((ln.split(":")[1].strip() for ln in text.splitlines() if "model name" in ln), "?")
    return f"{model}, {os.cpu_count()} cores{load}, Python {sys.version.split()[0]}"
