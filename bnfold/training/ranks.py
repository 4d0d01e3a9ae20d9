"""The processes that train one network together, and what they tell each other.

What one rank knows and the others must (errors, signals, facts) goes over gloo, whatever the
gradients go over: NCCL would make the CPU wait for the GPU.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from bnfold.errors import BnfoldError, DataError, EnvironmentLacks, RunStopped

T = TypeVar("T")
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process is `rank` of `world`; alone, every method is the identity."""

    rank: int = 0
    world: int = 1
    talk: dist.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Is this the one that writes?"""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Its part of so many things in a row; parts differ by one at most."""
        ends = [count * r // self.world for r in (self.rank, self.rank + 1)]
        return slice(*ends)

    def gather(self, own: T) -> list[T]:
        """What every rank has, in their order."""
        if self.world == 1:
            return [own]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, own, group=self.talk)
        return found

    def from_first(self, value: T) -> T:
        """What rank 0 has."""
        if self.world == 1:
            return value
        held: list[Any] = [value if self.first else None]
        dist.broadcast_object_list(held, src=0, group=self.talk)
        return held[0]  # type: ignore[no-any-return]

    def sum(self, *numbers: float) -> list[float]:
        """Sums over all ranks, in float64."""
        return self._reduced(dist.ReduceOp.SUM, numbers)

    def highest(self, number: int) -> int:
        """The largest of all ranks' numbers."""
        return int(self._reduced(dist.ReduceOp.MAX, (number,))[0])

    def _reduced(self, how: Any, numbers: tuple[float, ...]) -> list[float]:
        if self.world == 1:
            return list(numbers)
        held = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(held, op=how, group=self.talk)
        return held.tolist()

    def together(self, part: Callable[[], T]) -> T:
        """What `part` gives here; where it fails on any rank, every rank raises.

        Raises:
            BnfoldError: the rank's own error, else that of the first rank that has one.
        """
        if self.world == 1:
            return part()
        value: T | None = None
        error: BnfoldError | None = None
        try:
            value = part()
        except BnfoldError as found:
            error = found
        told = None if error is None else (type(error), error.message, error.where, error.hint)
        errors = self.gather(told)
        if error is not None:
            raise error
        for rank, other in enumerate(errors):
            if other is not None:
                kind, message, where, hint = other
                raise kind(f"rank {rank}: {message}", where=where, hint=hint)
        return value  # type: ignore[return-value]

    def agree(self, facts: Mapping[str, object]) -> None:
        """All ranks must have the same facts.

        Raises:
            DataError: naming the facts and the ranks that differ from rank 0.
        """
        all_facts = self.gather(dict(facts))
        told = [
            f"{name} ({'; '.join(f'rank {r} has {v}' for r, v in _differing(name, all_facts))})"
            for name in facts
            if len(_differing(name, all_facts)) > 1
        ]
        if told:
            raise DataError(
                f"ranks disagree on {', '.join(told)}", hint="start the same everywhere"
            )

    def same_buffers(self, model: nn.Module) -> None:
        """Rank 0's BatchNorm statistics, which other batches moved, on every rank."""
        if self.world > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)


ALONE = Ranks()


def _differing(name: str, all_facts: list[dict[str, object]]) -> list[tuple[int, object]]:
    """Rank 0's value, and those of the ranks that have another."""
    first = all_facts[0].get(name)
    others = [(r, facts.get(name)) for r, facts in enumerate(all_facts) if facts.get(name) != first]
    return [(0, first), *others]


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
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    wait = timedelta(seconds=seconds)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=wait)
        talk = dist.new_group(backend="gloo", timeout=wait) if device.type == "cuda" else None
    except (RuntimeError, ValueError) as cause:
        raise _unreachable(cause) from cause
    try:
        with _peers_told(seconds):
            yield Ranks(rank, world, talk)
    finally:
        dist.destroy_process_group()


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
    address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    if "EADDRINUSE" in str(cause) or "address already in use" in str(cause).lower():
        return EnvironmentLacks(
            "port in use", where=address, hint="torchrun --standalone, or another --master-port"
        )
    return EnvironmentLacks(f"cannot join the other ranks: {line}", where=address)


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
