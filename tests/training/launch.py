"""Training commands as processes: two ranks by hand, or what torchrun starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "train", "--model", "digits", "--data", "digits", "--device", "cpu", "--set", "shift=1",
    "--set", "threads=1", "--set", "log_every=1", "--set", "timeout=60", "--set", "batch=64",
    "--set", "steps=44", "--set", "save_every=1", "--resume",
)  # fmt: skip


def _environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / part) for part in (".", "cli", "models"))
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**os.environ, **own, **more}


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def start(out: Path, rank: int, world: int, port: int, *more: str) -> subprocess.Popen[str]:
    """One rank, without torchrun: its own exit code is seen."""
    told = _environment(
        RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )  # fmt: skip
    words = [sys.executable, "-m", "bnfold_cli", *SETTINGS, "--out", str(out), *more]
    return subprocess.Popen(words, env=told, text=True, stderr=subprocess.PIPE, cwd=ROOT)


def pair(out: Path, *more: str) -> list[subprocess.Popen[str]]:
    """Two ranks that do the same."""
    port = free_port()
    return [start(out, rank, 2, port, *more) for rank in (0, 1)]


def torchrun(out: Path, *more: str) -> subprocess.Popen[str]:
    """Two ranks under the launch line of docs/distributed.md."""
    words = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "--max-restarts=3", "-m", "bnfold_cli", *SETTINGS, "--out", str(out), *more,
    ]  # fmt: skip
    return subprocess.Popen(words, env=_environment(), text=True, stderr=subprocess.PIPE, cwd=ROOT)


def workers(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    found = subprocess.run(["pgrep", "-P", str(launcher)], capture_output=True, text=True)
    return sorted(map(int, found.stdout.split()))


def steps_done(out: Path) -> int:
    """Records so far."""
    path = out / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0
