"""Pull through operators that only move elements: each producer channel sees one (s, t)."""

from __future__ import annotations

import numpy as np

from tests.build import value
from tests.folding.cases.case import ANY, Case, between, case
from tests.folding.moves import (
    MIXED,
    NHWC,
    PIXELS,
    SHUFFLE,
    UNIFORM4,
    back_like,
    chained,
    computed,
    cut,
    dropout,
    gather,
    like_tokens,
    pulled,
    repeated,
    reshape,
    transpose,
)
from tests.net import Net


def split_one(which: int, opset: int = 17) -> Case:
    """Only one piece has a BatchNorm; the other must not change."""
    net = Net(f"pull-Split-piece-{which}-opset{opset}", opset)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    extra = {"split": [1, 3]} if opset < 13 else {}
    pieces = net.ops("Split", [y] if opset < 13 else [y, net.ints(1, 3)], 2, axis=1, **extra)
    pieces[which] = net.bn(pieces[which], (1, 3)[which])
    return case(net.out(*pieces))


def split_both(axis: int, *codes: str, label: str = "") -> Case:
    net = Net(f"pull-Split-both-axis{axis}{label}")
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    pieces = net.ops("Split", [y], 2, axis=axis)
    width = 2 if axis == 1 else 4
    return case(net.out(*(net.bn(p, width) for p in pieces)), *codes)


def shape_reader() -> Case:
    """The Conv is read by Shape too, which does not care for values."""
    net = Net("pull-Conv-read-by-Shape")
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    return case(net.out(net.bn(y, 4), net.op("Shape", y), net.op("Size", y)))


def live_dropout(label: str) -> Case:
    """training_mode comes from outside: it may drop."""
    net = Net(label)
    y, live = net.conv(net.input(("N", 3, 6, 6)), 3, 4), net.input((), "live", 9)
    y = net.bn(net.op("Dropout", y, net.init(0.5), live), 4)
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 3, 6, 6)), "live": np.array(False)}
    return case(net.out(y), *ANY, feeds=feeds)


def unknown_reshape(label: str, *codes: str) -> Case:
    """The target is an input; the BatchNorm's own channel count does not settle it."""
    net = Net(label)
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4)
    target = net.input((3,), "target", 7)
    y = net.bn(net.op("Reshape", y, target), 4)
    feeds = {
        "x": np.random.default_rng(0).normal(size=(2, 3, 6, 6)),
        "target": np.array([2, 4, 16]),
    }
    return case(net.out(value(y, ("a", 4, "b"))), *codes, feeds=feeds)


ROWS: list[Case] = [
    pulled("Identity", lambda n, x: n.op("Identity", x), 4),
    pulled("Cast-same", lambda n, x: n.op("Cast", x, to=1), 4),
    pulled("Cast-int-STAYS", lambda n, x: n.op("Cast", n.op("Cast", x, to=6), to=1), 4, *ANY),
    pulled("Dropout-12", dropout, 4),
    pulled("Dropout-7", lambda n, x: n.op("Dropout", x, ratio=0.5), 4, opset=7),
    live_dropout("pull-Dropout-live-STAYS"),
    pulled("Transpose-twice", chained(NHWC, transpose(0, 3, 1, 2)), 4),
    pulled("Transpose-swap-space", transpose(0, 1, 3, 2), 4),
    pulled("Transpose-batch-channel-STAYS", transpose(1, 0, 2, 3), 2, *MIXED, shape=(2, 3, 8, 8)),
    pulled("Transpose-height-STAYS", transpose(0, 2, 1, 3), 6, *MIXED),
    pulled("Transpose-default-STAYS", lambda n, x: n.op("Transpose", x), 6, *MIXED),
    pulled("Reshape-merge-space", reshape(0, 4, -1), 4),
    pulled("Reshape-zeros", reshape(0, 0, 36), 4),
    pulled("Reshape-minus-one-batch", reshape(-1, 4, 9, 4), 4),
    pulled("Reshape-static", reshape(2, 4, 36), 4, shape=(2, 3, 8, 8)),
    pulled("Reshape-computed", computed, 4),
    pulled("Reshape-opset5-style", reshape(0, 4, -1), 4, opset=9),
    pulled("Reshape-groups", reshape(0, 2, -1), 2),
    pulled("Reshape-groups-5d", reshape(0, 2, 2, 6, 6), 2),
    pulled("Reshape-batch-into-channels-STAYS", reshape(1, 8, 6, 6), 8, *MIXED, shape=(2, 3, 8, 8)),
    pulled(
        "Reshape-batch-into-channels-equal",
        reshape(1, 8, 6, 6),
        8,
        shape=(2, 3, 8, 8),
        norm={"parameters": repeated(4, 2, tiled=True)},
    ),
    pulled("Reshape-scrambles-STAYS", reshape(0, 36, 4), 36, *MIXED, shape=("N", 3, 8, 8)),
    pulled("Reshape-split-channels-STAYS", reshape(0, 8, 18), 8, *MIXED),
    pulled("Reshape-split-equal", reshape(0, 8, 18), 8, norm={"parameters": repeated(4, 2)}),
    between(
        "pull-Gemm-Reshape-split",
        lambda n, x: reshape(-1, 3, 4)(n, n.gemm(x, 3, 12)),
        c=3,
        shape=("N", 3),
    ),
    between(
        "pull-Gemm-Reshape-image",
        lambda n, x: reshape(-1, 4, 3, 1)(n, n.gemm(x, 3, 12)),
        shape=("N", 3),
    ),
    between(
        "pull-Gemm-Reshape-Transpose",
        lambda n, x: chained(reshape(-1, 3, 4), transpose(0, 2, 1))(n, n.gemm(x, 3, 12)),
        shape=("N", 3),
    ),
    between("pull-MatMul-tokens", like_tokens, back_like, shape=("N", 5, 3)),
    between("pull-MatMul-tokens-static", like_tokens, back_like, shape=(2, 5, 3)),
    between(
        "pull-MatMul-tokens-Relu",
        like_tokens,
        lambda n, x: n.op("Relu", back_like(n, x)),
        shape=("N", 5, 3),
    ),
    unknown_reshape("pull-Reshape-run-time-STAYS", *MIXED),
    pulled("Flatten-space-STAYS", lambda n, x: n.op("Flatten", x), 144, *MIXED),
    pulled(
        "Flatten-equal", lambda n, x: n.op("Flatten", x), 144, norm={"parameters": repeated(4, 36)}
    ),
    pulled("Flatten-1x1", lambda n, x: n.op("Flatten", x), 4, shape=("N", 3, 3, 3)),
    pulled(
        "Flatten-axis-2-STAYS",
        lambda n, x: n.op("Flatten", x, axis=2),
        36,
        *MIXED,
        shape=(2, 3, 8, 8),
    ),
    pulled("Squeeze-13", lambda n, x: n.op("Squeeze", x, n.ints(3)), 4, shape=("N", 3, 8, 3)),
    pulled(
        "Squeeze-11", lambda n, x: n.op("Squeeze", x, axes=[3]), 4, shape=("N", 3, 8, 3), opset=11
    ),
    pulled(
        "Squeeze-negative", lambda n, x: n.op("Squeeze", x, n.ints(-2, -1)), 4, shape=("N", 3, 3, 3)
    ),
    pulled("Unsqueeze-13", lambda n, x: n.op("Unsqueeze", x, n.ints(2)), 4),
    pulled("Unsqueeze-11", lambda n, x: n.op("Unsqueeze", x, axes=[4]), 4, opset=11),
    pulled(
        "Unsqueeze-shifts-axis-STAYS",
        lambda n, x: n.op("Unsqueeze", x, n.ints(1)),
        1,
        norm={"positive": True},
    ),
    pulled("Slice-space", cut(1, 5, 2), 4),
    pulled("Slice-space-reversed", cut(5, -7, 3, -1), 4),
    pulled("Slice-channels", cut(1, 3), 2),
    pulled("Slice-channels-reversed", cut(3, -5, 1, -2), 2),
    pulled(
        "Slice-opset9", lambda n, x: n.op("Slice", x, axes=[1], starts=[1], ends=[4]), 3, opset=9
    ),
    split_one(0),
    split_one(1),
    split_one(0, 11),
    split_both(1),
    # each half has its own parameters, and they are halves of one producer channel
    split_both(
        2,
        "axis-mismatch",
        "value-used-elsewhere",
        "would-cost-more",
        "nonlinear-neighbours",
        label="-STAYS",
    ),
    pulled("Gather-permutes", gather([2, 0, 3, 1]), 4),
    pulled("Gather-subset", gather([3, 1]), 2),
    pulled("Gather-negative", gather([-1, 0]), 2),
    pulled("Gather-twice-STAYS", gather([1, 1, 2]), 3, "axis-mismatch", "value-used-elsewhere"),
    pulled("Gather-twice-equal", gather([1, 1, 2, 2]), 4, norm={"parameters": repeated(2, 2)}),
    pulled("Gather-space", gather([0, 2, 4], 2), 4),
    pulled("Gather-one-row", gather(2, 3), 4),
    pulled("Tile-space", lambda n, x: n.op("Tile", x, n.ints(1, 1, 2, 3)), 4),
    pulled("Tile-channels-STAYS", lambda n, x: n.op("Tile", x, n.ints(1, 2, 1, 1)), 8, *MIXED),
    pulled(
        "Tile-channels-equal",
        lambda n, x: n.op("Tile", x, n.ints(1, 2, 1, 1)),
        8,
        norm={"parameters": repeated(4, 2, tiled=True)},
    ),
    pulled(
        "Expand-space", lambda n, x: n.op("Expand", x, n.ints(1, 4, 5, 7)), 4, shape=("N", 3, 3, 3)
    ),
    between(
        "pull-Expand-channels-STAYS",
        lambda n, x: n.op("Expand", n.conv(x, 3, 1), n.ints(1, 4, 1, 1)),
        None,
        *MIXED,
    ),
    between(
        "pull-Expand-channels-equal",
        lambda n, x: n.op("Expand", n.conv(x, 3, 1), n.ints(1, 4, 1, 1)),
        norm={"parameters": UNIFORM4},
    ),
    *(
        pulled(
            f"DepthToSpace-{m}",
            lambda n, x, m=m: n.op("DepthToSpace", n.conv(x, 4, 8), blocksize=2, mode=m),
            2,
        )
        for m in ("DCR", "CRD")
    ),
    pulled(
        "DepthToSpace-opset10",
        lambda n, x: n.op("DepthToSpace", x, blocksize=2),
        1,
        opset=10,
        norm={"positive": True},
    ),
    pulled("SpaceToDepth-STAYS", lambda n, x: n.op("SpaceToDepth", x, blocksize=2), 16, *MIXED),
    pulled(
        "SpaceToDepth-equal",
        lambda n, x: n.op("SpaceToDepth", x, blocksize=2),
        16,
        norm={"parameters": repeated(4, 4, tiled=True)},
    ),
    pulled("channel-shuffle", SHUFFLE, 4),
    pulled("pixel-shuffle-by-hand", PIXELS, 1),
    shape_reader(),
    pulled(
        "chain-of-five",
        chained(NHWC, reshape(0, -1, 4), transpose(0, 2, 1), cut(1, 30, 2), gather([2, 0, 1])),
        3,
    ),
]
