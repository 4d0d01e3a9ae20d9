"""What a fold did, as data: Fold, Remaining, FoldReport."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["batchnorm", "affine"]
Outcome = Literal[
    "pulled", "pushed", "split", "merged", "removed", "rectified", "rebased", "collapsed"
]


@dataclass(frozen=True, slots=True)
class Options:
    """What `fold` may do. `linear` names foreign operators ("domain::Op") that are linear."""

    reparam: bool = False
    aggressive: bool = False
    freeze_inputs: bool = False
    linear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fold:
    """One map that is gone. `map` is its scope, position and name; `through` what it crossed."""

    map: str
    kind: Kind
    outcome: Outcome
    absorbed_by: tuple[str, ...] = ()
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remaining:
    """One map that stays, with the reason's code and sentence and the node in the way."""

    map: str
    kind: Kind
    code: str
    sentence: str
    blocker: str | None = None
    unblock: str | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one inference, batch 1, as the shapes tell it; sizes not known are taken as 32."""

    multiply_adds: int
    parameters: int
    bytes: int  # parameters and activations, each read or written once by each node
    launches: int  # nodes that a runtime starts


@dataclass(frozen=True, slots=True)
class Merge:
    """Operators that became one (`--reparam`): their labels, the new node, what it costs."""

    at: str  # the tensor that it computes
    into: str
    parts: tuple[str, ...]
    before: Cost
    after: Cost


@dataclass(frozen=True, slots=True)
class Apart:
    """Operators that are linear in one tensor and meet, but stay (`--reparam`), and why."""

    at: str  # the tensor where they meet
    code: str
    sentence: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What a model holds: nodes of all scopes, BatchNorms, and constant Mul/Add/Sub/Div."""

    nodes: int
    batchnorms: int
    affine: int


@dataclass(frozen=True, slots=True)
class FoldReport:
    """Counts before and after, every map that folded, every BatchNorm that stays.

    With `--reparam` also what merged, and what stays apart.
    """

    before: Counts
    after: Counts
    folded: tuple[Fold, ...] = ()
    remaining: tuple[Remaining, ...] = ()
    merged: tuple[Merge, ...] = ()
    apart: tuple[Apart, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the model is another one than before."""
        return bool(self.folded or self.merged)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the maps of one graph, or of several, and what merged there."""

    folded: tuple[Fold, ...] = ()
    remaining: tuple[Remaining, ...] = ()
    merged: tuple[Merge, ...] = ()
    apart: tuple[Apart, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether a graph is another one than before."""
        return bool(self.folded or self.merged)

    def with_all_of(self, other: Found) -> Found:
        """Both."""
        return Found(
            self.folded + other.folded,
            self.remaining + other.remaining,
            self.merged + other.merged,
            self.apart + other.apart,
        )
