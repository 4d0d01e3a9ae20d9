"""Joins of branches: all of them take the map, or none does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.folding.cases.case import ANY, EDGE, Case, case, either
from tests.folding.moves import repeated
from tests.net import Net

Branch = Callable[[Net, str], str]
POSITIVE, PURE = {"positive": True}, {"positive": True, "shift": False}
UNIFORM = {"parameters": repeated(1, 4)}
ONE = {"parameters": (np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)), "eps": 0.0}
FOREIGN = (*EDGE, "operator-unknown", "parameter-not-constant", "negative-scale")


def conv(cout: int = 4, **how: Any) -> Branch:
    return lambda n, x: n.conv(x, 3, cout, 3, pads=[1] * 4, **how)


def relu(n: Net, x: str) -> str:
    return n.op("Relu", conv()(n, x))


def bare(n: Net, x: str) -> str:
    return n.input(("N", 4, 6, 6), n.fresh("z"))


def constant(*shape: int) -> Branch:
    return lambda n, x: n.weight(*shape)


def sigmoid(n: Net, x: str) -> str:
    return n.op("Sigmoid", conv()(n, x))


def cosh(n: Net, x: str) -> str:
    return n.op("Cosh", n.op("Sigmoid", conv()(n, x)))


def joined(
    label: str,
    op: str,
    branches: list[Branch],
    *codes: str,
    c: int = 4,
    norm: dict[str, Any] | None = None,
    free: bool = False,
    opset: int = 17,
    batch: int | str = "N",
    **attrs: Any,
) -> Case:
    """x -> branches -> op -> BatchNorm."""
    net = Net(f"join-{op}-{label}", opset)
    x = net.input((batch, 3, 6, 6))
    y = net.op(op, *(b(net, x) for b in branches), **attrs)
    net.out(net.bn(y, c, **(norm or {})))
    return either(net, exact=True) if free else case(net, *codes)


def twice(label: str, op: str, *codes: str, c: int, norm: dict[str, Any], **attrs: Any) -> Case:
    """One Conv is both operands."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    return case(net.out(net.bn(net.op(op, y, y, **attrs), c, **norm)), *codes)


def channels_last_concat(label: str, *codes: str, axis: int, c: int) -> Case:
    """Concat along another axis than the BatchNorm's: one and the same (s, t) for each branch."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    y = net.op("Concat", conv()(net, x), conv()(net, x), axis=axis)
    return case(net.out(net.bn(y, c)), *codes)


def residual(label: str) -> Case:
    """Conv -> BN -> Add with a Conv branch -> BN: two maps, one behind the other."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    y = net.op("Add", net.bn(conv()(net, x), 4), conv()(net, x))
    return case(net.out(net.bn(y, 4)))


def nested(label: str) -> Case:
    """Concat of an Add and a Concat of Convs."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    inner = net.op("Concat", conv(2)(net, x), conv(2)(net, x), axis=1)
    summed = net.op("Add", conv(2)(net, x), conv(2)(net, x))
    return case(net.out(net.bn(net.op("Concat", summed, inner, axis=1), 6)))


def branch_read_elsewhere(label: str, op: str, c: int, **attrs: Any) -> Case:
    """One branch is a graph output as well: refused as a whole."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    a, b = conv()(net, x), conv()(net, x)
    return case(net.out(net.bn(net.op(op, a, b, **attrs), c), b), "value-used-elsewhere")


def bare_residual(label: str) -> Case:
    """BN(Conv(x) + x): exact by an identity tap, on request only."""
    net = Net(label)
    x = net.input(("N", 4, 6, 6))
    y = net.op("Add", net.conv(x, 4, 4, pads=[1] * 4), x)
    return case(net.out(net.bn(y, 4)), *ANY)


def gated(label: str, gate: Branch, *codes: str, op: str = "Mul", **norm: Any) -> Case:
    """Mul(Conv, gate): a pure scale goes onto the factor that is linear."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    y = net.bn(net.op(op, conv()(net, x), gate(net, x)), 4, **norm)
    return case(net.out(y), *codes) if codes else either(net.out(y), exact=True)


def where(label: str, other: Branch, **norm: Any) -> Case:
    """Where(mask, Conv, other): any scale and shift, into both."""
    net = Net(label)
    x, mask = net.input(("N", 3, 6, 6)), net.input(("N", 1, 6, 6), "mask", 9)
    y = net.op("Where", mask, conv()(net, x), other(net, x))
    return either(net.out(net.bn(y, 4, **norm)), exact=True)


def pushed(label: str, op: str, other: Branch, **norm: Any) -> Case:
    """BatchNorm -> op with a constant c -> Conv: c becomes (c - t) / s."""
    net = Net(label)
    y = net.bn(net.op("Sigmoid", net.input(("N", 4, 6, 6))), 4, **norm)
    mask = [net.input(("N", 1, 6, 6), "mask", 9)] if op == "Where" else []
    y = net.op(op, *mask, y, other(net, y))
    return either(net.out(net.conv(y, 4, 5)), exact=True)


def attention(
    label: str, axis: int, *codes: str, opset: int = 17, free: bool = False, **norm: Any
) -> Case:
    """P V with P = Softmax: rows of P sum to 1, so V takes scale and shift of its last axis."""
    net = Net(label, opset)
    x, q = net.input(("N", 5, 3)), net.input(("N", 5, 5), "q")
    p = net.op("Softmax", q, axis=axis)
    v = net.op("Add", net.matmul(x, 3, 4), net.weight(4))
    y = net.op("Transpose", net.op("MatMul", p, v), perm=[0, 2, 1])
    net.out(net.bn(y, 4, **norm))
    return either(net, exact=True) if free else case(net, *codes)


ROWS: list[Case] = [
    joined("two-convs", "Concat", [conv(2), conv(3)], c=5, axis=1),
    joined("three-convs", "Concat", [conv(2), conv(3, bias=False), conv(1)], c=6, axis=1),
    joined("negative-axis", "Concat", [conv(2), conv(3)], c=5, axis=-3),
    joined(
        "constant-branch",
        "Concat",
        [conv(2), constant(3, 2, 6, 6)],
        c=4,
        axis=1,
        free=True,
        batch=3,
    ),
    joined("foreign-branch-STAYS", "Concat", [conv(), bare], *FOREIGN, c=8, axis=1),
    joined("sigmoid-branch-STAYS", "Concat", [conv(), sigmoid], *FOREIGN, c=8, axis=1),
    joined("relu-branch-pure-scale", "Concat", [conv(), relu], c=8, axis=1, norm=PURE),
    channels_last_concat("Concat-height", axis=2, c=4),
    channels_last_concat("Concat-batch", axis=0, c=4),
    twice(
        "Concat-twice-STAYS",
        "Concat",
        "axis-mismatch",
        "value-used-elsewhere",
        c=8,
        norm={},
        axis=1,
    ),
    twice(
        "Concat-twice-equal", "Concat", c=8, norm={"parameters": repeated(4, 2, tiled=True)}, axis=1
    ),
    twice("Concat-twice-height", "Concat", c=4, norm={}, axis=2),
    branch_read_elsewhere("Concat-branch-is-output-STAYS", "Concat", 8, axis=1),
    nested("Concat-nested"),
    joined("two-convs", "Add", [conv(), conv()]),
    joined("no-bias", "Add", [conv(bias=False), conv(bias=False)]),
    joined("constant-image", "Add", [conv(), constant(1, 4, 6, 6)]),
    joined("constant-first", "Add", [constant(4, 1, 1), conv()]),
    joined("relu-branch-positive", "Add", [relu, conv()], norm=POSITIVE),
    joined("relu-branch-positive-second", "Add", [conv(), relu], norm=POSITIVE),
    joined("relu-branch-negative", "Add", [relu, conv()], free=True),
    joined("relus-pure-scale", "Add", [relu, relu], norm=PURE),
    joined("sigmoid-branch-STAYS", "Add", [conv(), sigmoid], *FOREIGN),
    joined("sigmoid-branch-shift-only", "Add", [conv(), sigmoid], norm=ONE),
    joined("bare-input-STAYS", "Add", [conv(), bare], *FOREIGN),
    joined("one-channel-STAYS", "Add", [conv(), conv(1)], "axis-mismatch"),
    joined("one-channel-uniform", "Add", [conv(), conv(1)], norm=UNIFORM),
    joined("one-channel-shift-only", "Add", [conv(), conv(1)], norm=ONE),
    twice("Add-twice", "Add", c=4, norm={}),
    twice("Sub-itself-STAYS", "Sub", *ANY, c=4, norm={}),
    twice("Sub-itself-no-shift", "Sub", c=4, norm={"shift": False}),
    branch_read_elsewhere("Add-branch-is-output-STAYS", "Add", 4),
    bare_residual("Add-bare-residual-STAYS"),
    residual("Add-residual-two-norms"),
    joined("two-convs", "Sub", [conv(), conv()]),
    joined("relu-second", "Sub", [conv(), relu], norm=POSITIVE),
    joined("relu-first", "Sub", [relu, conv()], norm=POSITIVE),
    joined("constant-first", "Sub", [constant(1, 4, 1, 1), conv()]),
    joined("one", "Sum", [conv()]),
    joined("three", "Sum", [conv(), conv(), conv(bias=False)]),
    joined("three-relu", "Sum", [relu, relu, conv()], norm=POSITIVE),
    joined("foreign-STAYS", "Sum", [conv(), conv(), bare], *FOREIGN),
    joined("opset7", "Sum", [conv(), conv()], opset=7),
    joined("two", "Mean", [conv(), conv()]),
    joined("three", "Mean", [conv(), relu, conv()], norm=POSITIVE),
    joined("two-positive", "Max", [conv(), conv()], norm=POSITIVE, free=True),
    joined(
        "two-mixed-STAYS",
        "Max",
        [conv(), conv()],
        "negative-scale",
        "nonlinear-neighbours",
        "not-yet",
    ),
    joined("two-positive", "Min", [conv(), conv()], norm=POSITIVE, free=True),
    gated("Mul-gate-pure-scale", sigmoid, shift=False),
    gated("Mul-gate-STAYS", sigmoid, *FOREIGN),
    gated("Mul-itself-STAYS", conv(), *FOREIGN),
    gated("Div-by-branch-pure-scale", cosh, op="Div", shift=False),
    gated("Div-by-branch-STAYS", cosh, *FOREIGN, op="Div"),
    where("Where-two-convs", conv()),
    where("Where-constant", constant(1, 4, 1, 1)),
    where("Where-scalar", constant()),
    joined("constant-positive", "Max", [conv(), constant(4, 1, 1)], norm=POSITIVE, free=True),
    joined("scalar-positive", "Min", [constant(1), conv()], norm=POSITIVE, free=True),
    pushed("push-Max-constant", "Max", constant(4, 1, 1), **POSITIVE),
    pushed("push-Min-scalar", "Min", constant(), **POSITIVE),
    pushed("push-Where-constant", "Where", constant(1, 4, 1, 1)),
    attention("Softmax-rows", 2),
    attention("Softmax-rows-last", -1),
    attention("Softmax-rows-opset11", 2, opset=11),
    attention("Softmax-columns-STAYS", 1, *FOREIGN, "axis-mismatch"),
    attention("Softmax-flattened-opset11-STAYS", 1, *FOREIGN, "axis-mismatch", opset=11),
    attention("Softmax-columns-no-shift", 1, free=True, shift=False),
]
