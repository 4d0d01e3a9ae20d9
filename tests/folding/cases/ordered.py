"""Order, lengths, samplers and Einsum: inside of each rule's condition, and just outside."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.folding.cases.activations import op, pulled, pushed
from tests.folding.cases.case import EDGE, Build, Case, case
from tests.folding.cases.sharp import into, pointwise, two_branches, with_constant
from tests.net import Net

POSITIVE = {"positive": True}
PURE = {"positive": True, "shift": False}
MIXED = {"parameters": ([1.0, -1.5, 2.0, -0.5], np.zeros(4), np.zeros(4), np.ones(4))}
NEGATIVE = {"parameters": ([-1.0, -1.5, -2.0, -0.5], np.arange(4.0), np.zeros(4), np.ones(4))}
NEGATIVE_PURE = {"parameters": ([-1.0, -1.5, -2.0, -0.5], *np.zeros((2, 4)), np.ones(4))}
SHIFTS = {"parameters": (np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)), "eps": 0.0}
TURNED = {"parameters": (-np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)), "eps": 0.0}
UNIFORM = {"parameters": ([1.5] * 4, [0.25] * 4, [0.0] * 4, [1.0] * 4)}
UNIFORM_NEGATIVE = {"parameters": ([-1.5] * 4, [0.25] * 4, [0.0] * 4, [1.0] * 4)}
ARGS = ("ArgMax", "ArgMin")
POOLED: dict[str, Any] = {"kernel_shape": [2, 2]}
REDUCED = [
    ("LpPool", POOLED),
    ("GlobalLpPool", {}),
    *((k, {"axes": [2, 3]}) for k in ("ReduceL1", "ReduceL2", "ReduceSumSquare")),
]
SIGN = ("negative-scale", *EDGE)
MATCH = ("axis-mismatch", *SIGN)


def ended(label: str, move: Build, *codes: str, norm: Any = None, **how: Any) -> Case:
    """BatchNorm -> operator -> the end: only what needs no sink folds."""
    net = Net(f"push-{label}", **how)
    x = net.op("Sigmoid", net.input(("N", 4, 6, 6)))
    return case(net.out(move(net, net.bn(x, 4, **(norm or {})))), *codes)


def clipped(*bounds: float | None) -> Build:
    return lambda n, x: n.op(
        "Clip", x, *("" if b is None else n.init(np.float32(b)) for b in bounds)
    )


def top(axis: int, **attrs: Any) -> Build:
    return lambda n, x: n.ops("TopK", [x, n.ints(3)], 2, axis=axis, **attrs)[0]


def top_indices(n: Net, x: str) -> str:
    return n.ops("TopK", [x, n.ints(3)], 2, axis=2)[1]


def cumulated(axis: int) -> Build:
    return lambda n, x: n.op("CumSum", x, n.init(np.array(axis)))


def grid(padding: str) -> Build:
    def made(n: Net, x: str) -> str:
        spread = n.init(n.rng.uniform(-1.4, 1.4, (1, 6, 6, 2)))
        batch = n.op("Slice", n.op("Shape", x), n.ints(0), n.ints(1))
        target = n.op("Concat", batch, n.ints(6, 6, 2), axis=0)
        return n.op("GridSample", x, n.op("Expand", spread, target), padding_mode=padding)

    return made


def regions(n: Net, x: str) -> str:
    rois = n.init(np.array([[0.0, 0, 3, 3], [1, 1, 9, 9]]))
    which = n.init(np.array([0, 0]))
    return n.op("RoiAlign", x, rois, which, output_height=2, output_width=2, sampling_ratio=2)


def top_channels(n: Net, x: str) -> str:
    """Of the channels: which one a value came from is not known."""
    return n.ops("TopK", [x, n.ints(4)], 2, axis=1)[0]


def fully(n: Net, x: str) -> str:
    return n.gemm(x, 4, 5)


def lengths(kind: str, **attrs: Any) -> list[Case]:
    """A pure scale crosses, of any sign on the way down; a shift does not."""
    move, label = op(kind, **attrs), f"ordered-{kind}"
    return [
        pulled(label, move, norm=PURE),
        pulled(f"{label}-signs-STAYS", move, *SIGN, norm=MIXED),
        pulled(f"{label}-shift-STAYS", move, *EDGE, norm=POSITIVE),
        into(label, move, pointwise(4), norm=MIXED),
        into(f"{label}-shift-STAYS", move, pointwise(4), *EDGE, norm=POSITIVE),
    ]


ROWS: list[Case] = [
    pulled("ordered-Clip-negative", clipped(-0.5, 1.5), norm=UNIFORM_NEGATIVE),
    pulled("ordered-Clip-low-negative", clipped(-0.5), norm=UNIFORM_NEGATIVE),
    pulled("ordered-Clip-high-negative", clipped(None, 0.5), norm=UNIFORM_NEGATIVE),
    pulled(
        "ordered-Clip-6-negative", op("Clip", min=-0.5, max=1.0), norm=UNIFORM_NEGATIVE, opset=10
    ),
    pulled("ordered-Clip-6-low-negative", op("Clip", min=-0.5), norm=UNIFORM_NEGATIVE, opset=10),
    pushed("ordered-Clip-negative", clipped(-0.5, 1.5), norm=UNIFORM_NEGATIVE),
    pushed("ordered-Clip-low-negative", clipped(0.1), norm=UNIFORM_NEGATIVE),
    pulled("ordered-HardSigmoid-STAYS", op("HardSigmoid"), *EDGE, norm=UNIFORM),
    ended("ordered-HardSigmoid", op("HardSigmoid"), norm=UNIFORM),
    ended("ordered-HardSigmoid-alpha", op("HardSigmoid", alpha=0.3, beta=0.1), norm=UNIFORM),
    ended("ordered-HardSigmoid-negative-STAYS", op("HardSigmoid"), *SIGN, norm=UNIFORM_NEGATIVE),
    ended("ordered-HardSigmoid-channels-STAYS", op("HardSigmoid"), *EDGE, norm=PURE),
    pushed("ordered-Max-negative", with_constant("Max"), norm=NEGATIVE),
    pushed("ordered-Min-negative", with_constant("Min"), norm=NEGATIVE),
    pulled("ordered-Max-constant-negative", with_constant("Max"), norm=NEGATIVE),
    *[two_branches(f"ordered-{k}-negative", k, norm=NEGATIVE) for k in ("Max", "Min")],
    *[
        into(f"ordered-{k}-negative", op(k, axes=[2, 3], keepdims=0), fully, norm=NEGATIVE)
        for k in ("ReduceMax", "ReduceMin")
    ],
    *[
        pulled(f"ordered-{k}-negative", op(k, axes=[2, 3]), norm=NEGATIVE)
        for k in ("ReduceMax", "ReduceMin")
    ],
    pushed("ordered-TopK", top(2), norm=POSITIVE),
    pushed("ordered-TopK-negative", top(2), norm=NEGATIVE),
    pushed("ordered-TopK-mixed-STAYS", top(2), *SIGN, norm=MIXED),
    pushed("ordered-TopK-channels-STAYS", top_channels, *MATCH, norm=POSITIVE),
    pulled("ordered-TopK", top(2), norm=POSITIVE),
    pulled("ordered-TopK-smallest-negative", top(3, largest=0), norm=NEGATIVE),
    pulled("ordered-TopK-mixed-STAYS", top(2), *SIGN, norm=MIXED),
    pulled("ordered-TopK-channels-STAYS", top_channels, *MATCH, norm=POSITIVE),
    ended("ordered-TopK-indices", top_indices, norm=POSITIVE),
    ended("ordered-ArgMax", op("ArgMax", axis=2), norm=POSITIVE),
    ended("ordered-ArgMax-negative", op("ArgMax", axis=2), norm=NEGATIVE),
    ended("ordered-ArgMin", op("ArgMin", axis=3, keepdims=0), norm=POSITIVE),
    ended("ordered-ArgMin-negative", op("ArgMin", axis=3, keepdims=0), norm=NEGATIVE),
    ended("ordered-ArgMax-uniform", op("ArgMax", axis=1), norm=UNIFORM),
    *[ended(f"ordered-{k}-mixed-STAYS", op(k, axis=2), *SIGN, norm=MIXED) for k in ARGS],
    *[ended(f"ordered-{k}-channels-STAYS", op(k, axis=1), *MATCH, norm=POSITIVE) for k in ARGS],
    *[row for k, attrs in REDUCED for row in lengths(k, **attrs)],
    pulled("ordered-LogSumExp", op("ReduceLogSumExp", axes=[2, 3]), norm=SHIFTS),
    pulled("ordered-LogSumExp-scale-STAYS", op("ReduceLogSumExp", axes=[2]), *EDGE, norm=PURE),
    into("LogSumExp", op("ReduceLogSumExp", axes=[2, 3]), pointwise(4), norm=SHIFTS),
    into("LogSumExp-STAYS", op("ReduceLogSumExp", axes=[2]), pointwise(4), *EDGE, norm=PURE),
    pulled("ordered-LogSumExp-turned-STAYS", op("ReduceLogSumExp", axes=[2]), *SIGN, norm=TURNED),
    into(
        "LogSumExp-turned-STAYS",
        op("ReduceLogSumExp", axes=[2]),
        pointwise(4),
        *SIGN,
        norm=TURNED,
    ),
    pulled("ordered-GridSample-border", grid("border")),
    pulled("ordered-GridSample-zeros", grid("zeros"), norm={"shift": False}),
    pulled("ordered-GridSample-zeros-STAYS", grid("zeros"), "padding-shift"),
    pushed("ordered-GridSample-reflection", grid("reflection")),
    pushed("ordered-GridSample-zeros-STAYS", grid("zeros"), "padding-shift", SIGN[0], *EDGE),
    pulled("ordered-RoiAlign", regions, norm={"shift": False}),
    pulled("ordered-RoiAlign-STAYS", regions, "padding-shift"),
    into("RoiAlign", regions, pointwise(4), norm={"shift": False}),
    into("RoiAlign-STAYS", regions, pointwise(4), "padding-shift", *EDGE, norm={}),
    pulled("ordered-CumSum", cumulated(2), norm={"shift": False}),
    pulled("ordered-CumSum-shift-STAYS", cumulated(2), *EDGE),
    pulled("ordered-CumSum-channels-STAYS", cumulated(1), *MATCH, norm={"shift": False}),
    pushed("ordered-CumSum", cumulated(3), norm={"shift": False}),
    pushed("ordered-CumSum-shift-STAYS", cumulated(3), *EDGE),
    pushed("ordered-CumSum-channels-STAYS", cumulated(1), *MATCH, norm={"shift": False}),
    pulled("ordered-Trilu", op("Trilu"), norm={"shift": False}),
    pulled("ordered-Trilu-shift-STAYS", op("Trilu"), *EDGE),
    pushed("ordered-Trilu", op("Trilu"), norm={"shift": False}),
    pushed("ordered-Trilu-shift-STAYS", op("Trilu"), *EDGE),
]
