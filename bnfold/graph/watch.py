"""What was read of an index, and what changed in it since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# a node (operands, attributes) by its key, a tensor (type, value, producer) by its name, its
# readers (which they are) by a pair
Seen = int | str | tuple[str, str]


def readers_of(name: str) -> Seen:
    """The list of a tensor's readers, as a thing that can be read and can change."""
    return "readers", name


@dataclass(slots=True)
class Watch:
    """The things read since `begin`, and the time of each thing's last change."""

    read: set[Seen] = field(default_factory=set)
    changed: dict[Seen, int] = field(default_factory=dict)
    time: int = 0

    def begin(self) -> None:
        """Forget what was read."""
        self.read = set()

    def touch(self, *things: Seen) -> None:
        """Each of these has changed."""
        self.time += 1
        self.changed.update(dict.fromkeys(things, self.time))

    def is_as_at(self, time: int, things: Iterable[Seen]) -> bool:
        """Whether none of these changed after that time."""
        return all(self.changed.get(thing, 0) <= time for thing in things)
