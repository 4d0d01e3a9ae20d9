"""Initializers that callers may feed: a candidate has to take them still, and to heed them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from bnfold.errors import CheckFailed
from bnfold.show import show
from bnfold.verification import certificate
from bnfold.verification.cases import Array, Case
from bnfold.verification.subject import Subject

MOST_VALUES = 1 << 26  # that are fed besides the inputs; the smallest initializers first
STEP = 0.01  # far beyond rounding, and no network is another one for it
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)


def check_overrides(original: Subject, candidate: Subject) -> None:
    """What callers may feed to the original, the candidate takes, or was told to freeze.

    Raises:
        CheckFailed: an overridable initializer is gone.
    """
    gone = set(original.overridable) - set(candidate.overridable)
    if gone and not _frozen(original, candidate):
        name = next(name for name in original.overridable if name in gone)
        raise CheckFailed(
            f"callers of the original may feed '{show(name)}', an initializer that is an input;"
            " the candidate takes no such input",
            where=candidate.label,
            hint="compare with an original whose weights are no inputs, if nobody feeds them",
        )


def overridden(original: Subject, candidate: Subject, case: Case, seed: int) -> tuple[Case, ...]:
    """`case` once more with other values of all that callers may feed, if there is any."""
    if not original.overridable or _frozen(original, candidate):
        return ()
    return (Case(f"{case.name}, initializers fed", {**case.feeds, **_moved(original, seed)}),)


def _frozen(original: Subject, candidate: Subject) -> bool:
    recorded = certificate.options_of(candidate, original)
    return isinstance(recorded, Mapping) and recorded.get("freeze_inputs") is True


def _moved(original: Subject, seed: int) -> dict[str, Array]:
    tensors = [
        tensor
        for tensor in original.model.graph.initializer
        if tensor.name in original.overridable and tensor.data_type in _FLOATS
    ]
    found: dict[str, Array] = {}
    room = MOST_VALUES
    for k, tensor in enumerate(sorted(tensors, key=lambda tensor: int(np.prod(tensor.dims)))):
        value = original.data.array(tensor)
        room -= value.size
        if room < 0:
            break
        draw = np.random.default_rng([seed, k]).standard_normal(value.shape)
        found[tensor.name] = (value * (1.0 + STEP * draw)).astype(value.dtype)
    return found
