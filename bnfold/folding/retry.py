"""Which refused spots are worth another try: those whose search would read something new."""

from __future__ import annotations

from dataclasses import dataclass, field

from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.watch import Seen

# Things kept over all spots of a graph, some 50 MB. A spot that finds no room is tried each time.
MOST_KEPT = 500_000


@dataclass(slots=True)
class Tried:
    """What the searches of refused spots have read, and when.

    A search depends on nothing but what it reads of the index: while that stays as it was, the
    search would end as it did.
    """

    read: dict[int, tuple[int, frozenset[Seen]]] = field(default_factory=dict)
    room: int = MOST_KEPT

    def in_vain(self, index: GraphIndex, node: Node) -> bool:
        """Whether a spot was refused, and nothing that its search read has changed since."""
        if node.key not in self.read:
            return False
        time, things = self.read[node.key]
        return index.watch.is_as_at(time, (node.key, *things))

    def note(self, index: GraphIndex, node: Node) -> None:
        """Remember the search that has just been refused."""
        _, old = self.read.pop(node.key, (0, frozenset()))
        self.room += len(old) - len(index.watch.read)
        if self.room >= 0:
            self.read[node.key] = (index.watch.time, frozenset(index.watch.read))
        else:
            self.room += len(index.watch.read)
