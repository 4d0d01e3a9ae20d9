"""Operators that only move elements, as links of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.folding.cases.case import Build, Case, between, plain
from tests.net import Net

MIXED = ("axis-mismatch", "shape-unknown")


def repeated(channels: int, times: int, *, tiled: bool = False) -> Sequence[Any]:
    """BatchNorm parameters of `channels` values, each repeated (or the whole tiled)."""
    rng = np.random.default_rng(channels * 100 + times)
    drawn = [rng.normal(size=channels) for _ in range(3)] + [rng.uniform(0.3, 2, channels)]
    return [np.tile(d, times) if tiled else np.repeat(d, times) for d in drawn]


UNIFORM4 = repeated(1, 4)


def pulled(label: str, op: Build, c: int, *codes: str, **how: Any) -> Case:
    """Conv (4 channels, 6x6) -> op -> BatchNorm over c."""
    conv: Build = lambda n, x: n.conv(x, 3, 4)  # noqa: E731
    return between(f"pull-{label}", lambda n, x: op(n, conv(n, x)), None, *codes, c=c, **how)


def pushed(label: str, op: Build, sink: Build, *codes: str, c: int = 3, **how: Any) -> Case:
    """BatchNorm over c -> op -> a linear sink."""
    return between(f"push-{label}", plain, lambda n, x: sink(n, op(n, x)), *codes, c=c, **how)


def reshape(*target: int, **attrs: int) -> Build:
    return lambda n, x: n.op("Reshape", x, n.ints(*target), **attrs)


def transpose(*perm: int) -> Build:
    return lambda n, x: n.op("Transpose", x, perm=list(perm))


def gather(indices: object, axis: int = 1) -> Build:
    return lambda n, x: n.op("Gather", x, n.init(np.array(indices, np.int64)), axis=axis)


def cut(start: int, end: int, axis: int = 1, step: int = 1) -> Build:
    return lambda n, x: n.op("Slice", x, n.ints(start), n.ints(end), n.ints(axis), n.ints(step))


def chained(*ops: Build) -> Build:
    def all_of(n: Net, x: str) -> str:
        for op in ops:
            x = op(n, x)
        return x

    return all_of


def computed(n: Net, x: str) -> str:
    """Reshape to [N, C, -1], the target computed from x's own Shape."""
    head = n.op("Slice", n.op("Shape", x), n.ints(0), n.ints(2))
    return n.op("Reshape", x, n.op("Concat", head, n.ints(-1), axis=0))


def like_tokens(n: Net, x: str) -> str:
    """MatMul > Reshape [N*T, C], the way levit's projections stand before their BatchNorm."""
    return n.op("Reshape", n.matmul(x, 3, 4), n.ints(-1, 4))


def back_like(n: Net, x: str) -> str:
    """Reshape back to the MatMul's own shape."""
    made = next(m.output[0] for m in n.nodes if m.op_type == "MatMul")
    return n.op("Reshape", x, n.op("Shape", made))


def conv_to(c: int, **how: Any) -> Build:
    return lambda n, x: n.conv(x, c, 4, **how)


def gemm_to(c: int) -> Build:
    return lambda n, x: n.gemm(x, c, 4)


def dropout(n: Net, x: str) -> str:
    return n.op("Dropout", x, n.init(0.5))


SHUFFLE = chained(reshape(-1, 2, 2, 6, 6), transpose(0, 2, 1, 3, 4), reshape(-1, 4, 6, 6))
PIXELS = chained(reshape(-1, 1, 2, 2, 6, 6), transpose(0, 1, 4, 2, 5, 3), reshape(-1, 1, 12, 12))
NHWC = transpose(0, 2, 3, 1)
