"""Constants that the fold makes: float64 until written, checked for the range of their type.

A scaled weight is kept as its source and the factors to apply, so that one weight at a time is
in memory as float64, however often it was scaled.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from math import prod

import numpy as np

from bnfold.folding.affine import Array
from bnfold.folding.answers import Change, Put
from bnfold.graph.constants import Constant
from bnfold.graph.numbers import FLOATS, Float


class Role(enum.Enum):
    """What a constant does in its node."""

    FACTOR = "it is multiplied"
    TERM = "it is added, or compared"


_BIASES = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "FusedConv", "FusedGemm"), 2),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "LayerNormalization"), 2),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), 3),
}
_TERMS = frozenset(("Add", "Sub", "Sum", "Mean", "Max", "Min", "Where", "Clip", "Pad", "Concat"))


def role_of(op_type: str, slot: int) -> Role:
    """Biases are terms, and what stands in a sum, a maximum or a bound; all else is a factor."""
    added = op_type in _TERMS or _BIASES.get(op_type) == slot
    added = added or (op_type == "BatchNormalization" and slot in (2, 3))
    return Role.TERM if added else Role.FACTOR


@dataclass(frozen=True, slots=True)
class Factored:
    """A constant times factors that broadcast to its shape, evaluated on demand."""

    source: Constant
    factors: tuple[Array, ...]

    def value(self) -> Array:
        """The product in float64."""
        value = self.source.value()
        first, *others = self.factors
        # a large initializer is read anew each time: that array is ours, and may hold the product
        ours = self.source.of is not None and value.flags.writeable and first.ndim <= value.ndim
        product = np.multiply(value, first, out=value if ours else None)
        for factor in others:
            product *= factor
        return product


def changed(current: Constant | None, change: Change, elem_type: int) -> Constant:
    """The constant after a change."""
    if isinstance(change, Put):
        value = np.ascontiguousarray(change.value, np.float64)
        return Constant(elem_type, value.shape, lambda: value)
    assert current is not None, "only an existing constant can be scaled"
    owner = getattr(current.load, "__self__", None)
    if isinstance(owner, Factored):
        factored = Factored(owner.source, _composed(owner.factors, change.by))
    else:
        factored = Factored(current, (change.by,))
    return Constant(current.elem_type, current.shape, factored.value, reads=current.reads)


def _composed(factors: tuple[Array, ...], by: Array) -> tuple[Array, ...]:
    """Factors of one shape multiply at once, so that a long chain stays short."""
    for i, factor in enumerate(factors):
        if factor.shape == by.shape:
            return (*factors[:i], factor * by, *factors[i + 1 :])
    return (*factors, by)


def in_range(current: Constant | None, change: Change, elem_type: int, role: Role) -> bool:
    """Whether the changed constant is finite and keeps its digits in the model's type."""
    if isinstance(change, Put):
        return _holds(np.abs(change.value), FLOATS[elem_type], role)
    assert current is not None
    return _holds(largest(current, change.by), FLOATS[elem_type], role)


def largest(current: Constant, by: Array) -> Array:
    """The largest magnitude under each factor: what decides over range, without the product."""
    axes = tuple(i for i, n in enumerate(by.shape) if n == 1)
    magnitude = current.peak(axes)
    return np.asarray(magnitude * np.abs(by) if prod(magnitude.shape) else magnitude)


def _holds(magnitude: Array, kind: Float, role: Role) -> bool:
    """Finite; and of a factor nothing but exact zero lies among the subnormals, which drop digits.

    A term that lies there does no harm: the sum that it enters is itself kept in steps no finer.
    """
    with np.errstate(all="ignore"):
        if not (np.isfinite(magnitude).all() and (magnitude <= kind.largest).all()):
            return False
    return role is Role.TERM or not ((magnitude > 0) & (magnitude < kind.smallest)).any()
