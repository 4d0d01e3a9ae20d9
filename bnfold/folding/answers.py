"""What a rule sees (one node, no graph) and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnfold.folding.affine import LONGEST, Affine, Array
from bnfold.folding.reasons import Reason
from bnfold.graph.constants import Constant
from bnfold.graph.shapes import Dim, Shape


@dataclass(frozen=True, slots=True)
class Operand:
    """One input or output of a node: its name, what is known of its shape, its constant value."""

    name: str
    shape: Shape = None
    constant: Constant | None = None
    rows_sum_to_one: bool = False  # a Softmax over the last axis stands behind it
    # where a Softmax over the last axis is all that reads it: the tensors from here to there
    up_to_softmax: tuple[str, ...] = ()

    @property
    def absent(self) -> bool:
        """An optional input that is not given."""
        return not self.name

    @property
    def rank(self) -> int | None:
        """The number of axes, where known."""
        return None if self.shape is None else len(self.shape)

    def dim(self, axis: int) -> Dim:
        """The extent of an axis: a number, a symbol, or None where unknown or past LONGEST."""
        if self.shape is None or axis >= len(self.shape):
            return None
        extent = self.shape[axis]
        return None if isinstance(extent, int) and extent > LONGEST else extent


ABSENT = Operand("")


@dataclass(frozen=True, slots=True)
class Facts:
    """One node as a rule sees it."""

    op_type: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    declared_linear: bool = False  # a foreign operator of which the user says so

    def input(self, index: int) -> Operand:
        """The operand at a position, ABSENT behind the last."""
        return self.inputs[index] if index < len(self.inputs) else ABSENT

    def value(self, index: int) -> Array | None:
        """An input's constant value, or None where it is absent or computed."""
        constant = self.input(index).constant
        return None if constant is None else constant.value()

    def integers(self, index: int, attribute: str) -> list[int] | None:
        """Axes, pads, sizes: from the attribute of old opsets or the constant input of new ones."""
        if attribute in self.attributes:
            return [int(v) for v in np.atleast_1d(self.attributes[attribute])]
        value = self.value(index)
        return None if value is None else [int(v) for v in np.atleast_1d(value)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply the constant in place by an array that broadcasts to its shape."""

    by: Array


@dataclass(frozen=True, slots=True)
class Put:
    """Replace the constant (or an absent input) by this value."""

    value: Array


Change = Scale | Put


@dataclass(frozen=True, slots=True)
class Rim:
    """A Pad by a number, to stand in front of a node's first input."""

    pads: tuple[int, ...]  # as Pad states them: all begins, then all ends
    value: float


@dataclass(frozen=True, slots=True)
class Passes:
    """The map goes on: to inputs (pull) or outputs (push) by position; constants may change.

    `bias` is a shift that needs an Add behind the node, `becomes` the operator that it turns into.
    `aside` are maps that came down on one input and go up from another, by its position; `moves`
    are tensors whose values change behind the node, though no map goes on.
    """

    to: Mapping[int, Affine]
    changes: Mapping[int, Change] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bias: Array | None = None
    becomes: str | None = None
    aside: Mapping[int, Affine] = field(default_factory=dict)
    moves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Constants take the whole map; `bias`, `becomes` and `moves` as in `Passes`.

    `rim` is a Pad that takes the place of the node's own padding.
    """

    changes: Mapping[int, Change] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bias: Array | None = None
    becomes: str | None = None
    moves: tuple[str, ...] = ()
    rim: Rim | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """The map cannot cross, and why."""

    reason: Reason


Answer = Passes | Absorbed | Blocked
Answers = Answer | tuple[Answer, ...]  # alternatives, best first


def trimmed(values: Array, rank: int) -> Array:
    """Without leading axes of length 1 beyond `rank`: how a constant of that rank is written."""
    while values.ndim > rank and values.shape[0] == 1:
        values = values[0]
    return values
