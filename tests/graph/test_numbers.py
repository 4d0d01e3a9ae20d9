"""One rounding to each float type, where a detour over another would make two."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

from bnfold.graph.numbers import FLOATS, written

HALF, BRAIN = TensorProto.FLOAT16, TensorProto.BFLOAT16
TIES = [  # value, type, the nearest number: ties to even, and what lies a hair beside a tie
    (1 + 2**-8, BRAIN, 1.0),
    (1 + 2**-8 + 2**-40, BRAIN, 1 + 2**-7),
    (1 + 2**-7 + 2**-8 - 2**-40, BRAIN, 1 + 2**-7),
    (-1 - 2**-8 - 2**-40, BRAIN, -1 - 2**-7),
    (1 + 2**-11, HALF, 1.0),
    (1 + 2**-11 + 2**-40, HALF, 1 + 2**-10),
    (2.0**-25, HALF, 0.0),
    (2.0**-25 + 2.0**-60, HALF, 2.0**-24),
    (0.0, BRAIN, 0.0),
]


@pytest.mark.parametrize(("value", "kind", "want"), TIES)
def test_ties(value: float, kind: int, want: float) -> None:
    assert float(written(np.array([value]), kind)[0]) == want


@pytest.mark.parametrize("kind", [HALF, BRAIN])
def test_nearest(kind: int) -> None:
    """No neighbour is nearer than what was written."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(2000) * 2.0 ** rng.integers(-12, 12, 2000)
    near = written(values, kind)
    steps = near.view(np.uint16)
    for neighbour in (steps - 1, steps + 1):
        other = neighbour.view(FLOATS[kind].dtype)
        for x, a, b in zip(values, near, other, strict=True):
            exact = Fraction(float(x))
            assert abs(exact - Fraction(float(a))) <= abs(exact - Fraction(float(b)))


def test_infinity_and_nan_pass() -> None:
    got = written(np.array([np.inf, -np.inf, np.nan]), BRAIN)
    assert got.dtype == ml_dtypes.bfloat16
    assert [str(v) for v in got.astype(float)] == ["inf", "-inf", "nan"]
