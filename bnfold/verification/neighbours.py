"""Inputs within a rounding of one: where a single value decides, one of them says too little.

A gate's sigmoid that happens to stand near zero among thousands that do not carries a whole
tensor's error. What rounding does there is then one draw, and the quotient of two normal draws of
one size exceeds 8 once in a dozen times. That of their root mean squares over a dozen does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnfold.verification.cases import Array, Case

COUNT = 12


def neighbours(case: Case, seed: int) -> Iterator[Case]:
    """The input again, each number moved by its own type's rounding; integers stay."""
    for k in range(COUNT):
        rng = np.random.default_rng([seed, k])
        feeds = {name: _moved(value, rng) for name, value in case.feeds.items()}
        yield replace(case, name=f"{case.name}, moved {k + 1}", feeds=feeds)


def _moved(value: Array, rng: np.random.Generator) -> Array:
    if value.dtype.kind != "f":
        return value
    unit = np.finfo(value.dtype).eps
    signs = rng.integers(0, 2, value.shape) * 2.0 - 1.0
    return np.asarray((value * (1.0 + unit * signs)).astype(value.dtype))
