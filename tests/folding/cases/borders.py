"""A shift in front of a padded convolution: what stands at each position, or a mean, takes it."""

from __future__ import annotations

from typing import Any

from tests.folding.cases.case import Build, Case, case
from tests.net import Net

PADDED = ("padding-shift", "axis-mismatch")
ONES = {"parameters": ([1.0] * 4, [1.0, 2, -3, 4], [0.0] * 4, [1.0] * 4), "eps": 0.0}


def conv(**how: Any) -> Build:
    return lambda n, x: n.conv(x, 4, 4, **how)


def constant(*shape: int) -> Build:
    return lambda n, x: n.op("Tanh", n.op("Add", x, n.weight(*shape)))


def head(n: Net, x: str) -> str:
    return n.gemm(n.op("Flatten", n.op("GlobalAveragePool", x)), 4, 3)


def reduced(kind: str, *axes: int, then: int) -> Build:
    def made(n: Net, x: str) -> str:
        axes_as = (n.ints(*axes),) if kind == "ReduceSum" else ()
        how = {} if axes_as else {"axes": list(axes)}
        return n.gemm(n.op(kind, x, *axes_as, keepdims=0, **how), then, 3)

    return made


def bordered(
    label: str, move: Build, sink: Build, *codes: str, shape: Any = ("N", 4, 6, 7), **norm: Any
) -> Case:
    """Sigmoid -> BatchNorm -> move -> sink."""
    net = Net(f"borders-{label}")
    x = net.op("Sigmoid", net.input(shape))
    return case(net.out(sink(net, move(net, net.bn(x, 4, **norm)))), *codes)


def both(*sinks: Build) -> Build:
    """The same tensor read by several."""

    def made(n: Net, x: str) -> str:
        return n.op("Concat", *(sink(n, x) for sink in sinks), axis=1)

    return made


def rim(label: str, sink: Build, *codes: str, c: int = 4, opset: int = 17, **norm: Any) -> Case:
    """BatchNorm over the input of a padded Conv."""
    net = Net(f"rim-{label}", opset)
    shape = ("N", c, *(("W",) if "1d" in label else ("H", "W")))
    return case(net.out(sink(net, net.bn(net.input(shape), c, **norm))), *codes)


# -t/s is -1/2 in every channel
HALF = {"parameters": ([2.0, 1, 4, -2], [1.0, 0.5, 2, -1], [0.0] * 4, [1.0] * 4), "eps": 0.0}
NEARLY = {"parameters": ([2.0, 1, 4, -2], [1.0, 0.5, 2, 1], [0.0] * 4, [1.0] * 4), "eps": 0.0}
DEAD = {"parameters": ([0.0] * 4, [1.0] * 4, [0.0] * 4, [1.0] * 4)}
ODD: dict[str, Any] = {"pads": [1, 0, 0, 1], "group": 4, "strides": [2, 1], "dilations": [1, 2]}
ROWS: list[Case] = [
    bordered("constant-plane", conv(pads=[1] * 4), constant(1, 4, 6, 7)),
    bordered("constant-plane-depthwise", conv(**ODD), constant(4, 3, 4)),
    bordered("constant-channels-STAYS", conv(pads=[1] * 4), constant(4, 1, 1), *PADDED),
    bordered("constant-width-STAYS", conv(pads=[1] * 4), constant(4, 1, 7), *PADDED),
    bordered("mean", conv(pads=[1] * 4), head),
    bordered("same", conv(auto_pad="SAME_LOWER", strides=[2, 2]), head),
    bordered("mean-unknown-STAYS", conv(pads=[1] * 4), head, *PADDED, shape=("N", 4, "H", "W")),
    bordered(
        "flatten",
        conv(k=3, pads=[1] * 4, strides=[3, 3]),
        lambda n, x: n.gemm(n.op("Flatten", x), 16, 3),
        shape=("N", 4, 4, 4),
    ),
    bordered(
        "1d", conv(pads=[2, 1], rank=1), reduced("ReduceMean", 2, then=4), shape=("N", 4, 9)
    ),
    bordered(
        "3d",
        conv(pads=[1] * 6, rank=3),
        reduced("ReduceSum", 2, 3, 4, then=4),
        shape=("N", 4, 3, 4, 5),
    ),
    # where the padding is one number in front of the BatchNorm: a Pad by it, a Conv without
    rim("one-channel", lambda n, x: n.conv(x, 1, 3, pads=[1] * 4), c=1),
    rim("one-channel-1d", lambda n, x: n.conv(x, 1, 3, pads=[2, 0], rank=1, bias=False), c=1),
    rim("one-channel-opset9", lambda n, x: n.conv(x, 1, 3, pads=[1] * 4), c=1, opset=9),
    rim("uniform", conv(pads=[1, 0, 2, 1], strides=[2, 2]), **HALF),
    rim("uniform-depthwise", conv(pads=[1] * 4, group=4), **HALF),
    rim("nearly-uniform-STAYS", conv(pads=[1] * 4), *PADDED, **NEARLY),
    rim("dead-STAYS", conv(pads=[1] * 4), *PADDED, **DEAD),
    rim("same-STAYS", conv(auto_pad="SAME_UPPER"), *PADDED, **HALF),
    rim("one-padded-of-two", both(conv(pads=[1] * 4), conv(k=1)), **HALF),
    rim("two-STAYS", both(conv(pads=[1] * 4), conv(k=5, pads=[2] * 4)), "would-cost-more", **HALF),
    # a mean over the channels themselves, which share a scale
    bordered("channels", lambda n, x: n.op("ReduceMean", x, axes=[1]), lambda n, x: n.conv(x, 1, 3),
             **ONES),
    bordered("channels-scales-STAYS", lambda n, x: n.op("ReduceMean", x, axes=[1]),
             lambda n, x: n.conv(x, 1, 3), "axis-mismatch"),
]  # fmt: skip
