"""Push through operators that only move elements: each channel hands (s, t) to its copies."""

from __future__ import annotations

from tests.folding.cases.case import EDGE, Case, plain
from tests.folding.moves import (
    MIXED,
    NHWC,
    chained,
    computed,
    conv_to,
    cut,
    dropout,
    gather,
    gemm_to,
    pushed,
    reshape,
    transpose,
)

ROWS: list[Case] = [
    pushed("Identity", lambda n, x: n.op("Identity", x), conv_to(3)),
    pushed("Dropout", dropout, conv_to(3)),
    pushed("Transpose-MatMul", NHWC, lambda n, x: n.matmul(x, 3, 5)),
    pushed(
        "Reshape-Transpose-MatMul",
        chained(reshape(0, 3, -1), transpose(0, 2, 1)),
        lambda n, x: n.op("Add", n.matmul(x, 3, 5), n.weight(5)),
    ),
    pushed("Flatten-Gemm", lambda n, x: n.op("Flatten", x), gemm_to(192)),
    pushed(
        "Flatten-Gemm-static", lambda n, x: n.op("Flatten", x), gemm_to(192), shape=(2, 3, 8, 8)
    ),
    pushed("Reshape-Gemm", reshape(-1, 192), gemm_to(192)),
    pushed(
        "Reshape-computed-MatMul",
        chained(computed, transpose(0, 2, 1)),
        lambda n, x: n.matmul(x, 3, 5),
    ),
    pushed(
        "Squeeze-Gemm",
        lambda n, x: n.op("Squeeze", x, n.ints(2, 3)),
        gemm_to(3),
        shape=("N", 3, 1, 1),
    ),
    pushed(
        "Unsqueeze-Conv",
        lambda n, x: n.op("Unsqueeze", x, n.ints(2)),
        conv_to(3, k=(1, 3)),
        shape=("N", 3, 9),
    ),
    pushed("Slice-channels-Conv", cut(1, 3), conv_to(2)),
    pushed("Slice-space-Conv", cut(1, 7, 2), conv_to(3)),
    pushed("Gather-twice-Conv", gather([1, 1, 2, 0]), conv_to(4)),
    pushed("Tile-channels-Conv", lambda n, x: n.op("Tile", x, n.ints(1, 2, 1, 1)), conv_to(6)),
    pushed(
        "Expand-channel-Conv",
        lambda n, x: n.op("Expand", x, n.ints(1, 4, 1, 1)),
        conv_to(4),
        c=1,
        shape=("N", 1, 8, 8),
    ),
    pushed("SpaceToDepth-Conv", lambda n, x: n.op("SpaceToDepth", x, blocksize=2), conv_to(12)),
    *(
        pushed(
            f"DepthToSpace-{m}-STAYS",
            lambda n, x, m=m: n.op("DepthToSpace", x, blocksize=2, mode=m),
            conv_to(2),
            *MIXED,
            c=8,
            shape=("N", 8, 4, 4),
        )
        for m in ("DCR", "CRD")
    ),
    pushed(
        "channel-shuffle-Conv",
        chained(reshape(-1, 2, 2, 6, 6), transpose(0, 2, 1, 3, 4), reshape(-1, 4, 6, 6)),
        conv_to(4, group=2),
        c=4,
        shape=("N", 4, 6, 6),
    ),
    pushed(
        "Reshape-groups-MatMul-STAYS",
        chained(reshape(0, 2, 2), lambda n, x: n.matmul(x, 2, 5)),
        plain,
        *MIXED,
        c=4,
        shape=("N", 4),
    ),
    pushed(
        "Relu-after-Reshape-STAYS",
        chained(reshape(0, 3, -1), lambda n, x: n.op("Sigmoid", x)),
        plain,
        *EDGE,
    ),
]
