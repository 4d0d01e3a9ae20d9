"""How the processes that train one network find each other, and how they part."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from bnfold.errors import EnvironmentLacks, RunStopped
from bnfold.training.ranks import ALONE, Ranks

T = TypeVar("T")
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl
GRACE = 30  # seconds: after its own timeout native code has the time to say what is wrong


@contextmanager
def joined(device: torch.device, seconds: int) -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone; `seconds` is how long one waits.

    Raises:
        EnvironmentLacks: the port is in use, or the others cannot be reached.
        RunStopped: another rank has gone, or answers no more.
    """
    world, rank = (int(os.environ.get(key, d)) for key, d in (("WORLD_SIZE", "1"), ("RANK", "0")))
    if world == 1:
        yield ALONE
        return
    _die_with_launcher()
    _take_gpu(device)
    try:
        talk = _in_time(lambda: _met(device, timedelta(seconds=seconds)), seconds + GRACE)
        with _peers_told(seconds):
            yield Ranks(rank, world, talk)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _met(device: torch.device, wait: timedelta) -> dist.ProcessGroup:
    """All are there: the default group is for the gradients, the one it answers for Python."""
    _take_gpu(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=wait)
        return dist.new_group(backend="gloo", timeout=wait)  # type: ignore[no-any-return]
    except (RuntimeError, ValueError) as cause:
        raise _unreachable(cause) from cause


def _take_gpu(device: torch.device) -> None:
    """This rank's own of its host, in this thread."""
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def _in_time(part: Callable[[], T], seconds: float) -> T:
    """What `part` answers; a thread of it that is stuck in native code is left behind.

    torch's store waits without end for whoever holds the port and says nothing: a stopped rank 0,
    or another program.
    """
    answers: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(part())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise EnvironmentLacks(
            f"cannot join the other ranks: no answer within {seconds:.0f} s", where=_address(),
            hint="is rank 0 running, and does nothing else listen there?",
        )  # fmt: skip
    return answers[0]


def _die_with_launcher() -> None:
    """A worker whose torchrun was killed must not go on writing beside its successor."""
    if sys.platform != "linux" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os.kill(os.getpid(), signal.SIGKILL)


def _unreachable(cause: Exception) -> EnvironmentLacks:
    line = str(cause).partition("\n")[0]
    if "EADDRINUSE" in str(cause) or "address already in use" in str(cause).lower():
        return EnvironmentLacks(
            "port in use", where=_address(), hint="torchrun --standalone, or another --master-port"
        )
    return EnvironmentLacks(f"cannot join the other ranks: {line}", where=_address())


def _address() -> str:
    return f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"


@contextmanager
def _peers_told(seconds: int) -> Iterator[None]:
    """Tell a broken or silent connection in one line."""
    try:
        yield
    except RuntimeError as cause:
        if not isinstance(cause, dist.DistError) and "gloo" not in str(cause).lower():
            raise
        raise RunStopped(
            "another rank has gone, or has not answered for "
            f"{seconds} s: {str(cause).partition(chr(10))[0][:200]}",
            hint="its own last line says why; the same command with --resume goes on",
        ) from cause
