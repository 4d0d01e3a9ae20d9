"""Is what was written what the plans meant? Asked of every constant before a file is written.

A constant that was replaced is compared element by element with its float64 value. Of one that
was scaled, the largest magnitude under every factor was taken from the source when the plan was
made; the written tensor must have the same, so that a weight scaled twice, read after it was
overwritten, or scaled along the wrong axis, cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, numpy_helper

from bnfold.errors import BnfoldError
from bnfold.folding.affine import Array
from bnfold.folding.answers import Change, Put
from bnfold.folding.masters import largest
from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex
from bnfold.graph.numbers import FLOATS

# rounding once moves a value by half a unit in the last place, that is by u; the products before
# it were made in float64, where a few more roundings are far below one u of the other types
_ONE = 1.0 + 2.0**-20
_SEVERAL = 16.0  # in float64 itself


@dataclass(frozen=True, slots=True)
class Expected:
    """The value of a replaced constant, or the largest magnitudes of a scaled one."""

    value: Array
    reduced: bool


@dataclass(frozen=True, slots=True)
class Projected:
    """A new constant's rows, each summed up under signs, and the sum of their magnitudes.

    An element that is wrong, misplaced or missing shows in the sum of its row.
    """

    shape: tuple[int, ...]
    sums: Array
    sizes: Array


Ledger = dict[str, Expected | Projected]


def projected(value: Array) -> Projected:
    """What a constant comes to that the fold makes of several: kept small, for it is large."""
    return Projected(value.shape, *_summed(value))


def _summed(value: Array) -> tuple[Array, Array]:
    rows = value.astype(np.float64).reshape(len(value), -1)
    signs = np.random.default_rng(0).uniform(-1, 1, rows.shape[1])
    return rows @ signs, np.abs(rows) @ np.abs(signs)


def expected(current: Constant | None, change: Change) -> Expected:
    """What a change must come to, reckoned from the constant as it stands before it."""
    if isinstance(change, Put):
        return Expected(np.asarray(change.value, np.float64), reduced=False)
    assert current is not None
    return Expected(largest(current, change.by), reduced=True)


def certify(index: GraphIndex, ledger: Mapping[str, Expected | Projected]) -> None:
    """Compare every constant that the fold wrote with the ledger.

    Raises:
        BnfoldError: one differs by more than its rounding, a bug of ours: nothing may be written.
    """
    for tensor in index.model.graph.initializer:
        entry = ledger.get(tensor.name)
        if entry is None:
            continue
        if not _is_as_meant(tensor, entry):
            raise BnfoldError(
                "a folded constant is not what its fold meant",
                where=tensor.name,
                hint="please report it with the model; nothing was written",
            )


def _is_as_meant(tensor: TensorProto, entry: Expected | Projected) -> bool:
    return _projects(tensor, entry) if isinstance(entry, Projected) else _holds(tensor, entry)


def _holds(tensor: TensorProto, entry: Expected) -> bool:
    written = numpy_helper.to_array(tensor)
    if tensor.data_type not in FLOATS:
        return bool((written.astype(np.float64) == entry.value).all())
    if entry.reduced:
        axes = tuple(i for i, n in enumerate(entry.value.shape) if n == 1)
        written = np.abs(written).max(axis=axes, keepdims=True, initial=0)
    if entry.value.size != written.size:
        return False
    want = entry.value.reshape(written.shape)
    kind = FLOATS[tensor.data_type]
    error = np.abs(written.astype(np.float64) - want)
    # among the subnormal numbers the steps no longer shrink
    unit = np.maximum(kind.epsilon * np.abs(want), kind.step) / 2
    roundings = _SEVERAL if tensor.data_type == TensorProto.DOUBLE else _ONE
    return bool((error <= roundings * unit).all())


def _projects(tensor: TensorProto, entry: Projected) -> bool:
    written = numpy_helper.to_array(tensor)
    if written.shape != entry.shape:
        return False
    kind = FLOATS[tensor.data_type]
    error = np.abs(_summed(written)[0] - entry.sums)
    unit = (kind.epsilon * entry.sizes + kind.step * written[0].size) / 2
    roundings = _SEVERAL if tensor.data_type == TensorProto.DOUBLE else _ONE
    return bool((error <= roundings * unit).all())
