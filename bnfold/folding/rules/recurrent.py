"""LSTM, GRU, RNN: the input features meet W (directions, gates*hidden, C) before any gate."""

from __future__ import annotations

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.answers import Absorbed, Answers, Blocked, Change, Facts, Put, Scale
from bnfold.folding.reasons import Reason


def push(node: Facts, m: Affine, k: int) -> Answers:
    """W(sx + t) + Wb = (Ws)x + (Wb + Wt) in every gate and direction; Wb is B's first half."""
    weight, bias = node.input(1), node.input(3)
    if k != 0 or weight.constant is None or (not bias.absent and bias.constant is None):
        return Blocked(Reason.NONLINEAR_NEIGHBOURS)
    directions, gates, features = weight.constant.shape
    if any(axis != 2 for axis in m.axes) or m.extent(2) not in (1, features):
        return Blocked(Reason.AXIS_MISMATCH)
    changes: dict[int, Change] = {}
    if not m.is_shift_only:
        changes[1] = Scale(m.scale)
    if not m.is_scale_only:
        own = node.value(3)
        both = np.zeros((directions, 2 * gates)) if own is None else np.array(own)
        both[:, :gates] += (weight.constant.value() * m.shift).sum(axis=2)
        changes[3] = Put(both)
    return Absorbed(changes)
