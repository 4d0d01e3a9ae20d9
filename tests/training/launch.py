"""Training commands on several ranks: as processes, or many scenes in one pair of processes."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

ROOT = Path(__file__).parents[2]
STEPS = 44  # two epochs
SETTINGS = (
    "train", "--model", "digits", "--data", "digits", "--device", "cpu", "--set", "shift=1",
    "--set", "threads=1", "--set", "log_every=1", "--set", "timeout=60", "--set", "batch=64",
    "--set", f"steps={STEPS}", "--set", "save_every=1", "--resume",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    """Of a process that finds the project."""
    path = os.pathsep.join(str(ROOT / part) for part in (".", "cli", "models"))
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**os.environ, **own, **more}


def as_rank(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun would say to this rank."""
    return {
        "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


@contextmanager
def held_port() -> Iterator[int]:
    """A port that nobody else gets meanwhile; torch's store reuses it, since nothing listens."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@dataclass(frozen=True)
class Told:
    """How a command ended on one rank."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Scene:
    """One command on both ranks (`one`: on rank 0 alone), and in what rank 1 differs.

    `stop` is the step at which rank 1 gets SIGTERM; `version` what its code calls itself.
    """

    words: tuple[str, ...]
    second: tuple[str, ...] = ()
    stop: int = 0
    version: str = ""
    one: bool = False
    port: int = 0


def play(rank: int, scenes: dict[str, Scene]) -> dict[str, Told]:
    """All of them, one after another, as one rank of two."""
    return {name: _played(rank, s) for name, s in scenes.items() if rank == 0 or not s.one}


def _played(rank: int, scene: Scene) -> Told:
    from bnfold.training import identity, loop
    from bnfold_cli.main import run

    taken = loop.one_step

    def step(training, *rest):
        taken(training, *rest)
        if rank == 1 and training.step == scene.stop:
            os.kill(os.getpid(), signal.SIGTERM)

    words = [*SETTINGS, *scene.words, *(scene.second if rank else ())]
    version = scene.version if rank and scene.version else identity.__version__
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, as_rank(rank, 2, scene.port)), patch.object(loop, "one_step", step),
        patch.object(identity, "__version__", version), redirect_stdout(out), redirect_stderr(err),
    ):  # fmt: skip
        return Told(run(words), out.getvalue(), err.getvalue())


def digits_file(path: Path, *, pixel: int = 0) -> Path:
    """A small set of images as .npz; one of its pixels may differ."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 128), ("test", 16)):
        arrays[f"x_{part}"] = rng.integers(0, 200, (count, 8, 8), np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    arrays["x_train"][5, 3, 3] += pixel
    np.savez(path, **arrays)
    return path


def start(out: Path, rank: int, world: int, port: int, *more: str) -> subprocess.Popen[str]:
    """One rank, without torchrun: its own exit code is seen."""
    words = [sys.executable, "-m", "bnfold_cli", *SETTINGS, "--out", str(out), *more]
    return subprocess.Popen(
        words, env=environment(**as_rank(rank, world, port)), text=True,
        stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip


def pair(out: Path, port: int, *more: str) -> list[subprocess.Popen[str]]:
    """Two ranks that do the same."""
    return [start(out, rank, 2, port, *more) for rank in (0, 1)]


def torchrun(out: Path, *more: str) -> subprocess.Popen[str]:
    """Two ranks under the launch line of docs/distributed.md."""
    words = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "--max-restarts=3", "-m", "bnfold_cli", *SETTINGS, "--out", str(out), *more,
    ]  # fmt: skip
    return subprocess.Popen(words, env=environment(), text=True, stderr=subprocess.PIPE, cwd=ROOT)


def workers(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    found = subprocess.run(["pgrep", "-P", str(launcher)], capture_output=True, text=True)
    return sorted(map(int, found.stdout.split()))


def steps_done(out: Path) -> int:
    """Records so far."""
    path = out / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0
