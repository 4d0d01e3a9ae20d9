"""Why a walk ends: refusals, which of them tells most, and walls that every map meets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NoReturn

from bnfold.folding.reasons import Reason
from bnfold.graph.index import Node


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no plan, and the node in the way (None: the graph's border)."""

    reason: Reason
    blocker: str | None = None


# the more a reason says about what stands in the way, the sooner it is the one reported
_TELLING = (
    Reason.NUMBER_RANGE,
    Reason.WOULD_COST_MORE,
    Reason.TRAINING_MODE,
    Reason.NOT_YET,
    Reason.OPERATOR_UNKNOWN,
    Reason.PARAMETER_OVERRIDABLE,
    Reason.NEGATIVE_SCALE,
    Reason.PADDING_SHIFT,
    Reason.SHAPE_UNKNOWN,
    Reason.AXIS_MISMATCH,
    Reason.VALUE_USED_ELSEWHERE,
    Reason.NONLINEAR_NEIGHBOURS,
)


def more_telling(*refusals: Refusal) -> Refusal:
    """The one to report: of equals the first."""

    def rank(refusal: Refusal) -> int:
        return _TELLING.index(refusal.reason) if refusal.reason in _TELLING else len(_TELLING)

    return min(refusals, key=rank)


class Stop(Exception):
    """Ends a walk."""

    def __init__(self, reason: Reason, blocker: str | None) -> None:
        super().__init__(reason)
        self.refusal = Refusal(reason, blocker)


# whatever map reaches these crosses whole or is blocked: none is absorbed, none vanishes
_PLAIN = frozenset(
    {
        *("Identity", "Dropout", "Cast", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
        *("Relu", "LeakyRelu", "Abs", "Neg", "AveragePool", "MaxPool", "GlobalAveragePool"),
        *("GlobalMaxPool", "DepthToSpace", "SpaceToDepth"),
    }
)


class Manner(enum.Enum):
    """How far a search goes."""

    PLAIN = "every operator stays what it is, but for its constants"
    RECTIFYING = "a Relu may become a Max or Min by a constant"


NEAR, FAR = 48, 500  # nodes of one walk: beyond, the search as a whole would not stay linear


@dataclass(slots=True)
class Reach:
    """How many nodes a walk may take in, and whether one ended for want of more."""

    most: int
    exceeded: bool = False


@dataclass(slots=True)
class Walls:
    """Tensors from which no map gets anywhere, kept so that long rows are walked once.

    A row of plain nodes that ends at the graph's border or at an operator without a rule ends
    there for every map; no fold changes that, for names never come to stand for other values.
    """

    manner: Manner = Manner.PLAIN
    up: dict[str, Refusal] = field(default_factory=dict)
    down: dict[str, Refusal] = field(default_factory=dict)
    reach: Reach = field(default_factory=lambda: Reach(FAR))


@dataclass(slots=True)
class Row:
    """The plain row that a walk has followed so far, and where the walls it meets are kept."""

    walls: dict[str, Refusal]
    manner: Manner
    reach: Reach
    names: list[str] = field(default_factory=list)
    plain: bool = True

    def enter(self, name: str) -> None:
        """Go on to a tensor; a known wall ends the walk."""
        if name in self.walls:
            self.end(self.walls[name])
        if self.plain:
            self.names.append(name)

    def passed(self, node: Node) -> None:
        """A node is behind us; what is not plain may treat another map another way."""
        self.plain = self.plain and node.op_type in _PLAIN

    def reached(self, count: int, node: Node) -> None:
        """So many nodes are behind us; there is an end to what one search may take."""
        if count > self.reach.most:
            self.reach.exceeded = True
            raise Stop(Reason.NOT_YET, node.name)

    def end(self, refusal: Refusal) -> NoReturn:
        """No map gets past here: a wall for all of the row, if it was plain so far."""
        if self.plain:
            self.walls.update(dict.fromkeys(self.names, refusal))
        raise Stop(refusal.reason, refusal.blocker)
