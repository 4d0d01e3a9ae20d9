"""Pools and reductions between a BatchNorm and its Conv (pull) or its reader (push)."""

from __future__ import annotations

from typing import Any

from tests.folding.cases.case import EDGE, Build, Case, between, case, plain
from tests.folding.moves import repeated
from tests.net import Net

POSITIVE, PURE = {"positive": True}, {"shift": False}
BOTH = {"positive": True, "shift": False}
SIGN = ("negative-scale", "nonlinear-neighbours")
AXIS = ("axis-mismatch", "shape-unknown", "nonlinear-neighbours")
SHIFT = ("padding-shift", "shape-unknown", "nonlinear-neighbours")
K2 = {"kernel_shape": [2, 2]}
K3 = {"kernel_shape": [3, 3]}


def op(kind: str, *tail: str, **attrs: Any) -> Build:
    return lambda n, x: n.op(kind, x, *tail, **attrs)


def reduced(kind: str, *axes: int, keep: int = 1, opset: int = 17) -> Build:
    """Reduce over axes: an attribute, an input from opset 18 on (ReduceSum: 13)."""

    def build(n: Net, x: str) -> str:
        if n.opset >= (13 if kind == "ReduceSum" else 18):
            return n.op(kind, x, n.ints(*axes), keepdims=keep)
        return n.op(kind, x, axes=list(axes), keepdims=keep)

    return build


def pulled(label: str, move: Build, *codes: str, c: int = 4, norm: Any = None, **how: Any) -> Case:
    """Conv (4, 6x6) -> move -> BatchNorm."""
    before: Build = lambda n, x: move(n, n.conv(x, 3, 4))  # noqa: E731
    return between(f"pull-{label}", before, None, *codes, c=c, norm=norm, **how)


def pushed(
    label: str, move: Build, *codes: str, norm: Any = None, flat: bool = False, **how: Any
) -> Case:
    """BatchNorm -> move -> 1x1 Conv (or Gemm)."""

    def after(n: Net, x: str) -> str:
        y = move(n, x)
        return n.gemm(n.op("Flatten", y), 3, 4) if flat else n.conv(y, 3, 4, 1)

    return between(f"push-{label}", plain, after, *codes, c=3, norm=norm, **how)


def with_indices(label: str, *codes: str, scale_zero: bool = False) -> Case:
    """Indices are read: every scale must be > 0."""
    net = Net(label)
    y, where = net.ops("MaxPool", [net.conv(net.input((2, 3, 8, 8)), 3, 4)], 2, **K2)
    norm: dict[str, Any] = {} if codes else POSITIVE
    return case(net.out(net.bn(y, 4, **norm), where), *codes)


def two_heads(label: str) -> Case:
    """BN -> GlobalAveragePool -> Flatten -> two Gemms: both absorb."""
    net = Net(label)
    y = net.op("Flatten", net.op("GlobalAveragePool", net.bn(net.input(("N", 4, 6, 6)), 4)))
    return case(net.out(net.gemm(y, 4, 3), net.gemm(y, 4, 2, transB=1, bias=False)))


GAP = op("GlobalAveragePool")
ROWS: list[Case] = [
    pulled("AveragePool", op("AveragePool", **K2, strides=[2, 2])),
    pulled("AveragePool-pads", op("AveragePool", **K3, pads=[1] * 4)),
    pulled("AveragePool-same", op("AveragePool", **K3, auto_pad="SAME_UPPER", strides=[2, 2])),
    pulled("AveragePool-include-no-pads", op("AveragePool", **K2, count_include_pad=1)),
    pulled(
        "AveragePool-include-pads-STAYS",
        op("AveragePool", **K3, count_include_pad=1, pads=[1] * 4),
        *SHIFT,
    ),
    pulled(
        "AveragePool-include-pads-pure",
        op("AveragePool", **K3, count_include_pad=1, pads=[1] * 4),
        norm=PURE,
    ),
    pulled(
        "AveragePool-include-same-STAYS",
        op("AveragePool", **K3, count_include_pad=1, auto_pad="SAME_LOWER"),
        *SHIFT,
    ),
    pulled(
        "AveragePool-include-same-no-pad",
        op("AveragePool", **K2, count_include_pad=1, auto_pad="SAME_UPPER", strides=[2, 2]),
    ),
    pulled(
        "AveragePool-include-ceil",
        op("AveragePool", **K3, count_include_pad=1, ceil_mode=1, strides=[2, 2]),
    ),
    pulled(
        "AveragePool-include-ceil-pads-unread",
        op(
            "AveragePool", **K2, count_include_pad=1, ceil_mode=1, strides=[2, 2], pads=[0, 0, 1, 1]
        ),
    ),
    # one window more than without ceil_mode: it reaches the padding, which counts
    *(
        pulled(
            f"AveragePool-include-ceil-{name}",
            op("AveragePool", **K3, count_include_pad=1, ceil_mode=1, strides=[2, 2], pads=pads),
            *codes,
            shape=("N", 3, 7, 7),
        )
        for name, pads, codes in (
            ("pads-STAYS", [0, 0, 1, 1], SHIFT),
            ("no-pads", [0, 0, 0, 0], ()),
        )
    ),
    pulled("AveragePool-ceil", op("AveragePool", **K3, ceil_mode=1, strides=[2, 2])),
    pulled("AveragePool-dilated", op("AveragePool", **K2, dilations=[2, 2]), opset=19),
    # dilation 7 over an extent of 6: a window can lie wholly in the padding
    *(
        pulled(
            f"{kind}-dilated-past-the-extent-STAYS",
            op(kind, **K2, dilations=[7, 7], pads=[4] * 4),
            *SHIFT,
            norm=POSITIVE,
            opset=19,
        )
        for kind in ("AveragePool", "MaxPool")
    ),
    pulled("AveragePool-opset7", op("AveragePool", **K2), opset=7),
    pulled("GlobalAveragePool", GAP),
    pulled("ReduceMean", reduced("ReduceMean", 2, 3)),
    pulled("ReduceMean-opset18", reduced("ReduceMean", -2, -1), opset=18),
    pulled("ReduceMean-no-keep", reduced("ReduceMean", 2, 3, keep=0)),
    pulled("ReduceMean-batch", reduced("ReduceMean", 0)),
    pulled("ReduceMean-one-axis", reduced("ReduceMean", 3)),
    pulled("ReduceMean-channel", reduced("ReduceMean", 1), c=1),
    # keepdims=0 moves the height to axis 1, and that is what the BatchNorm then sees
    pulled("ReduceMean-channel-no-keep-STAYS", reduced("ReduceMean", 1, keep=0), *AXIS, c=6),
    pulled(
        "ReduceMean-channel-no-keep-uniform",
        reduced("ReduceMean", 1, keep=0),
        c=6,
        norm={"parameters": repeated(1, 6)},
    ),
    pulled("ReduceSum", reduced("ReduceSum", 2, 3)),
    pulled("ReduceSum-opset11", reduced("ReduceSum", 2, 3), opset=11),
    pulled("ReduceSum-pure", reduced("ReduceSum", 2, 3, keep=0), norm=PURE),
    pulled("ReduceSum-dynamic-STAYS", reduced("ReduceSum", 0), *AXIS, *SHIFT),
    pulled("ReduceSum-dynamic-pure", reduced("ReduceSum", 0), norm=PURE),
    pulled("ReduceL2-STAYS", reduced("ReduceL2", 2, 3), *EDGE, "negative-scale"),
    pulled("MaxPool", op("MaxPool", **K2), norm=POSITIVE),
    pulled("MaxPool-pads", op("MaxPool", **K3, pads=[1] * 4), norm=POSITIVE),
    pulled(
        "MaxPool-same", op("MaxPool", **K3, auto_pad="SAME_UPPER", strides=[2, 2]), norm=POSITIVE
    ),
    pulled(
        "MaxPool-dilated-ceil", op("MaxPool", **K2, dilations=[2, 2], ceil_mode=1), norm=POSITIVE
    ),
    pulled("MaxPool-negative-STAYS", op("MaxPool", **K2), *SIGN),
    pulled(
        "MaxPool-zero",
        op("MaxPool", **K2),
        norm={"parameters": ([0.0, 1, 2, 0], [1.0] * 4, [1.0] * 4, [1.0] * 4)},
    ),
    with_indices("MaxPool-indices"),
    with_indices("MaxPool-indices-negative-STAYS", *SIGN, "value-used-elsewhere"),
    pulled("GlobalMaxPool", op("GlobalMaxPool"), norm=POSITIVE),
    pulled("GlobalMaxPool-negative-STAYS", op("GlobalMaxPool"), *SIGN),
    pulled("ReduceMax", reduced("ReduceMax", 2, 3), norm=POSITIVE),
    pulled("ReduceMax-no-keep", reduced("ReduceMax", 2, 3, keep=0), norm=POSITIVE, opset=18),
    pulled("ReduceMax-negative-STAYS", reduced("ReduceMax", 2, 3), *SIGN),
    pulled("ReduceMin", reduced("ReduceMin", 2, 3), norm=POSITIVE),
    pulled("ReduceMin-negative-STAYS", reduced("ReduceMin", 2, 3), *SIGN),
    pulled("ReduceProd-STAYS", reduced("ReduceProd", 2, 3), *EDGE, "operator-unknown"),
    pulled(
        "MaxPool-AveragePool",
        lambda n, x: n.op("AveragePool", n.op("MaxPool", x, **K2), **K2),
        norm=POSITIVE,
    ),
    pushed("GlobalAveragePool-Gemm", GAP, flat=True),
    pushed("ReduceMean-Gemm", reduced("ReduceMean", 2, 3, keep=0), flat=True),
    pushed("ReduceMean-opset18-Gemm", reduced("ReduceMean", 2, 3), flat=True, opset=18),
    pushed("GlobalAveragePool-Conv", GAP),
    pushed("AveragePool", op("AveragePool", **K2)),
    pushed("AveragePool-pads", op("AveragePool", **K3, pads=[1] * 4)),
    pushed(
        "AveragePool-include-pads-STAYS",
        op("AveragePool", **K3, pads=[1] * 4, count_include_pad=1),
        *SHIFT,
    ),
    pushed(
        "AveragePool-include-pads-pure",
        op("AveragePool", **K3, pads=[1] * 4, count_include_pad=1),
        norm=PURE,
    ),
    pushed("ReduceSum", reduced("ReduceSum", 2, 3), flat=True),
    pushed(
        "ReduceSum-dynamic-STAYS", reduced("ReduceSum", 2), *AXIS, *SHIFT, shape=("N", 3, "H", 8)
    ),
    pushed("MaxPool", op("MaxPool", **K2), norm=POSITIVE),
    pushed("MaxPool-pads", op("MaxPool", **K3, pads=[1] * 4), norm=POSITIVE),
    pushed("MaxPool-negative-STAYS", op("MaxPool", **K2), *SIGN),
    pushed("ReduceMax", reduced("ReduceMax", 2, 3), norm=POSITIVE, flat=True),
    pushed("ReduceMin", reduced("ReduceMin", 2, 3), norm=BOTH, flat=True),
    pushed(
        "ReduceMean-channel-STAYS",
        lambda n, x: n.op("Expand", reduced("ReduceMean", 1)(n, x), n.ints(1, 3, 1, 1)),
        *AXIS,
    ),
    two_heads("push-GlobalAveragePool-two-heads"),
]
