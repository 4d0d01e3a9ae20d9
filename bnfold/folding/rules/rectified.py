"""Relu as Max: relu(sx + t) = s max(x, -t/s) + t for s > 0, so the whole map crosses.

Asked for by `--aggressive` alone. Where all s < 0 it is a Min; mixed signs would need both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Answers, Blocked, Facts, Passes, Put, trimmed
from bnfold.folding.reasons import Reason

BROADCASTS = 8  # the opset from which Max and Min take a constant of fewer axes


def pull_relu(node: Facts, m: Affine) -> Answers:
    """S relu(x) + t = max(sx + t, t) for s >= 0, and min(sx + t, t) for s <= 0."""
    if node.version < BROADCASTS or not (m.nonnegative or m.nonpositive):
        return Blocked(Reason.NEGATIVE_SCALE)
    bound = Put(trimmed(m.shift, 0))
    return Passes({0: m}, {1: bound}, becomes="Max" if m.nonnegative else "Min")


def push_relu(node: Facts, m: Affine) -> Answers:
    """relu(sx + t) = s max(x, -t/s) + t; where s = 0 it is the constant relu(t)."""
    if node.version < BROADCASTS or not (m.nonnegative or m.nonpositive):
        return Blocked(Reason.NEGATIVE_SCALE)
    dead = m.scale == 0
    bound = np.where(dead, 0.0, -m.shift / np.where(dead, 1.0, m.scale))
    shift = np.where(dead, np.maximum(m.shift, 0.0), m.shift)
    onward = Affine.of(m.scale, shift)
    return Passes(
        {0: onward}, {1: Put(trimmed(bound, 0))}, becomes="Max" if m.nonnegative else "Min"
    )


PULL: Mapping[str, Callable[[Facts, Affine], Answers]] = {"Relu": pull_relu}
PUSH: Mapping[str, Callable[[Facts, Affine], Answers]] = {"Relu": push_relu}
