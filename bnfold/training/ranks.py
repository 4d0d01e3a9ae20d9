"""The processes that train one network together, and what they tell each other.

What one rank knows and the others must (errors, signals, facts) goes over a gloo group of its own,
`talk`. NCCL, over which gradients may go, would make the CPU wait for the GPU. And of a group that
Python hands tensors to, Python has to be the last owner: gloo's threads let go of such tensors
under the interpreter's lock, which DistributedDataParallel holds while it frees a group and waits
for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from bnfold.errors import BnfoldError, DataError

T = TypeVar("T")


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
                dist.broadcast(buffer, src=0, group=self.group_of(buffer.device))

    def group_of(self, device: torch.device) -> dist.ProcessGroup | None:
        """Over which tensors of this device go; None is the gradients' own."""
        return self.talk if device.type == "cpu" else None


ALONE = Ranks()


def _differing(name: str, all_facts: list[dict[str, object]]) -> list[tuple[int, object]]:
    """Rank 0's value, and those of the ranks that have another."""
    first = all_facts[0].get(name)
    others = [(r, facts.get(name)) for r, facts in enumerate(all_facts) if facts.get(name) != first]
    return [(0, first), *others]
