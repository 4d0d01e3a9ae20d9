"""Constant Mul, Add, Sub, Div, Neg around a BatchNorm, and BatchNorms written out."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.folding.cases.case import EDGE, Case, between, case, either, plain
from tests.net import Net

WIDTH = ("axis-mismatch", "nonlinear-neighbours")
SHAPES = {
    "Cx1x1": (4, 1, 1), "1xCx1x1": (1, 4, 1, 1), "scalar": (), "one": (1,), "1x1x1x1": (1, 1, 1, 1),
}  # fmt: skip


def constant_after(
    label: str, op: str, shape: tuple[int, ...], *codes: str, first: bool = False, **how: Any
) -> Case:
    """Conv -> op with a constant -> BatchNorm: one map, pulled whole."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4)
    k = net.init(net.random(*shape) + (3.0 if op == "Div" else 0.0))
    y = net.bn(net.op(op, *((k, y) if first else (y, k))), 4, **how)
    return case(net.out(y), *codes, affine=None if codes else 0)


def reciprocal(label: str, *codes: str, shift: bool) -> Case:
    """k / x is not linear; a pure scale goes into k all the same."""
    net = Net(label)
    y = net.op("Cosh", net.op("Sigmoid", net.conv(net.input(("N", 3, 8, 8)), 3, 4)))
    y = net.bn(net.op("Div", net.weight(4, 1, 1), y), 4, shift=shift)
    return case(net.out(y), *codes)


def zeros(label: str) -> Case:
    """A multiplier may hold zeros."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4)
    k = net.init(np.array([0, 2, 0, -1.0]).reshape(4, 1, 1))
    return case(net.out(net.bn(net.op("Mul", y, k), 4)), affine=0)


def enlarging(label: str, **norm: Any) -> Case:
    """Conv with 1 channel times (4,1,1): the constant makes the channels."""
    net = Net(label)
    y = net.op("Mul", net.conv(net.input(("N", 3, 8, 8)), 3, 1), net.weight(4, 1, 1))
    return either(net.out(net.bn(y, 4, **norm)))


def written_out(
    label: str, *, steps: str, source: str = "conv", sink: bool = False, codes: tuple[str, ...] = ()
) -> Case:
    """A BatchNorm as plain operators; steps m(ean) d(iv by std) M(ul by 1/std) s(cale) b(ias)."""
    net = Net(label)
    x = net.input(("N", 3, 8, 8))
    y = net.conv(x, 3, 4) if source == "conv" else net.op("Sigmoid", x)
    c = 4 if source == "conv" else 3
    var = net.init(net.rng.uniform(0.3, 2, (c, 1, 1)), "var")
    for step in steps:
        if step == "m":
            y = net.op("Sub", y, net.weight(1, c, 1, 1))
        elif step == "s":
            y = net.op("Mul", y, net.weight(c, 1, 1))
        elif step == "b":
            y = net.op("Add", y, net.weight(c, 1, 1))
        else:
            std = net.op("Sqrt", net.op("Add", var, net.init(1e-5)))
            if step == "d":
                y = net.op("Div", y, std)
            else:
                y = net.op("Mul", y, net.op("Reciprocal", std))
    y = net.conv(y, c, 5) if sink else y
    return case(net.out(y), *codes, affine=None if codes else 0, stay=0)


def normalised_input(label: str, *, pads: bool) -> Case:
    """(x - mean) / std in front of a Conv folds where no padding is met."""
    net = Net(label)
    y = net.op("Div", net.op("Sub", net.input(("N", 3, 8, 8)), net.weight(1, 3, 1, 1)), net.init(
        net.rng.uniform(0.3, 2, (1, 3, 1, 1))))  # fmt: skip
    y = net.conv(y, 3, 4, pads=[1] * 4 if pads else None)
    return either(net.out(y)) if pads else case(net.out(y), affine=0)


def layer_scale(label: str) -> Case:
    """x + gamma * Conv(x)."""
    net = Net(label)
    x = net.input(("N", 4, 8, 8))
    y = net.op("Mul", net.conv(x, 4, 4, pads=[1] * 4), net.weight(4, 1, 1))
    return case(net.out(net.op("Add", x, y)), affine=0)


def caffe(label: str) -> Case:
    """BatchNorm without scale, then Scale: Conv -> BN -> Mul -> Add."""
    net = Net(label)
    y = net.conv(net.input(("N", 3, 8, 8)), 3, 4, bias=False)
    y = net.op("Mul", net.bn(y, 4), net.weight(4, 1, 1))
    return case(net.out(net.op("Add", y, net.weight(4, 1, 1))), affine=0)


def merged(label: str, *ops: str) -> Case:
    """Between two nonlinear operators a BatchNorm and its constants become one node."""
    net = Net(label)
    y = net.op("Sigmoid", net.input(("N", 4, 6, 6)))
    for op in ops:
        y = net.bn(y, 4) if op == "BN" else net.op(op, y, net.init(net.random(4, 1, 1) + 3))
    net.out(net.op("Sigmoid", y))
    # one BatchNorm, or (as good: it is gone) the constant operators that were there anyway
    return either(net, affine=len(ops) - 1, outcome="merged")


OPS = ("Mul", "Add", "Sub", "Div")
ROWS: list[Case] = [
    *(constant_after(f"{o}-{k}", o, s) for o in OPS for k, s in SHAPES.items()),
    *(
        constant_after(f"{o}-constant-first", o, (4, 1, 1), first=True)
        for o in ("Mul", "Add", "Sub")
    ),
    between("Neg", lambda n, x: n.op("Neg", n.conv(x, 3, 4)), more={"affine": 0}),
    zeros("Mul-with-zeros"),
    # (W,) on NCHW is width; here and in the next row it acts on another axis than the channels
    constant_after("Mul-width-STAYS", "Mul", (6,), *WIDTH),
    constant_after("Mul-height-STAYS", "Mul", (6, 1), *WIDTH),
    # an Add over space takes the scale and stays an Add: (s W) x + s k + t
    between(
        "Add-width", lambda n, x: n.op("Add", n.conv(x, 3, 4), n.weight(6)), more={"affine": 1}
    ),
    between(
        "Mul-width-no-shift",
        lambda n, x: n.op("Mul", n.conv(x, 3, 4), n.weight(6)),
        norm={"shift": False},
        more={"affine": 1},
    ),
    reciprocal("Div-into-pure-scale", shift=False),
    reciprocal("Div-into-STAYS", *EDGE, "operator-unknown", shift=True),
    enlarging("Mul-enlarges-channels"),
    enlarging("Mul-enlarges-channels-no-shift", shift=False),
    *(
        between(
            f"push-{o}",
            plain,
            lambda n, x, o=o: n.conv(n.op(o, x, n.init(n.random(3, 1, 1) + 3)), 3, 4),
            c=3,
            more={"affine": 0},
        )
        for o in OPS
    ),
    between("push-Neg", plain, lambda n, x: n.conv(n.op("Neg", x), 3, 4), c=3),
    between(
        "push-Sub-first",
        plain,
        lambda n, x: n.conv(n.op("Sub", n.weight(3, 1, 1), x), 3, 4),
        c=3,
        more={"affine": 0},
    ),
    *(written_out(f"written-{s}", steps=s) for s in ("mdsb", "mMsb", "sb", "msb", "b", "s", "md")),
    *(
        written_out(f"written-{s}-push", steps=s, source="sigmoid", sink=True)
        for s in ("mdsb", "sb", "md")
    ),
    normalised_input("input-normalised", pads=False),
    normalised_input("input-normalised-padded", pads=True),
    layer_scale("layer-scale"),
    caffe("Conv-BN-Scale"),
    merged("merged-BN-BN", "BN", "BN"),
    merged("merged-BN-Mul-Add", "BN", "Mul", "Add"),
    merged("merged-Mul-BN-Sub", "Mul", "BN", "Sub"),
    merged("merged-Div-BN", "Div", "BN"),
]
