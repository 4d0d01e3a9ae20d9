"""Activations: only what is positively homogeneous lets a pure scale through."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.folding.cases.case import EDGE, Build, Case, between, case, either, plain
from tests.folding.moves import repeated
from tests.net import Net

PURE = {"positive": True, "shift": False}
MIXED = {"shift": False}
SIGN = ("negative-scale", "nonlinear-neighbours")
NEVER = ("Sigmoid", "Tanh", "Elu", "Softplus", "HardSigmoid", "Erf", "Exp", "Softsign", "Selu")
ALL_NEGATIVE = {"parameters": (-np.ones(4) * 2, np.zeros(4), np.zeros(4), np.ones(4))}
DEAD = {"parameters": (np.zeros(4), np.arange(4.0), np.ones(4), np.ones(4))}
UNIFORM = {"parameters": repeated(1, 4)}
UNIFORM_NEGATIVE = {"parameters": (-2 * np.ones(4), np.ones(4), np.zeros(4), np.ones(4))}


def op(kind: str, **attrs: Any) -> Build:
    return lambda n, x: n.op(kind, x, **attrs)


def prelu(*shape: int) -> Build:
    return lambda n, x: n.op("PRelu", x, n.weight(*shape))


def clip(n: Net, x: str) -> str:
    return n.op("Clip", x, n.init(-0.5), n.init(1.5))


def crossed_clip(n: Net, x: str) -> str:
    """The lower bound lies above the upper one: then the upper is the result, whatever x is."""
    return n.op("Clip", x, n.init(1.5), n.init(-0.5))


def pulled(
    label: str, move: Build, *codes: str, norm: Any = None, free: bool = False, **how: Any
) -> Case:
    """Conv -> activation -> BatchNorm."""
    net = Net(f"pull-{label}", **how)
    y = net.bn(move(net, net.conv(net.input(("N", 3, 6, 6)), 3, 4)), 4, **(norm or {}))
    return either(net.out(y), exact=True) if free else case(net.out(y), *codes)


def pushed(
    label: str, move: Build, *codes: str, norm: Any = None, free: bool = False, **how: Any
) -> Case:
    """BatchNorm -> activation -> Conv without pads."""
    net = Net(f"push-{label}", **how)
    x = net.op("Sigmoid", net.input(("N", 4, 6, 6)))
    y = net.conv(move(net, net.bn(x, 4, **(norm or {}))), 4, 5)
    return either(net.out(y), exact=True) if free else case(net.out(y), *codes)


def through_two(label: str) -> Case:
    """Conv -> BN -> Relu -> BN(pure scale) -> MaxPool: the second goes up to the same Conv."""
    net = Net(label)
    y = net.op("Relu", net.bn(net.conv(net.input(("N", 3, 8, 8)), 3, 4), 4))
    y = net.op("MaxPool", net.bn(y, 4, **PURE), kernel_shape=[2, 2])
    return case(net.out(y))


def transposed_relu(label: str) -> Case:
    """The pure scale need not lie along axis 1 at the activation."""
    net = Net(label)
    y = net.op("Relu", net.matmul(net.input(("N", 5, 3)), 3, 4))
    return case(net.out(net.bn(net.op("Transpose", y, perm=[0, 2, 1]), 4, **PURE)))


ROWS: list[Case] = [
    pulled("Relu", op("Relu"), norm=PURE),
    pulled(
        "Relu-zero-scale",
        op("Relu"),
        norm={"parameters": ([0.0, 1, 2, 0], np.zeros(4), np.zeros(4), np.ones(4))},
    ),
    pulled("Relu-mixed-signs", op("Relu"), norm=MIXED, free=True),
    pulled("Relu-shift", op("Relu"), norm={"positive": True}, free=True),
    pulled("Relu-mixed-shift", op("Relu"), free=True),
    pulled("LeakyRelu", op("LeakyRelu", alpha=0.2), norm=PURE),
    pulled("LeakyRelu-shift-STAYS", op("LeakyRelu", alpha=0.2), *EDGE, norm={"positive": True}),
    pulled("LeakyRelu-negative-STAYS", op("LeakyRelu", alpha=-0.2), *SIGN, norm=MIXED),
    pulled("LeakyRelu-all-negative", op("LeakyRelu", alpha=0.25), norm=ALL_NEGATIVE, free=True),
    pulled("PRelu", prelu(4, 1, 1), norm=PURE),
    pulled("PRelu-one-slope", prelu(1), norm=PURE),
    pulled("PRelu-whole", prelu(4, 4, 4), norm=PURE),
    pulled("PRelu-shift-STAYS", prelu(4, 1, 1), *EDGE, norm={"positive": True}),
    pulled("Clip-uniform", clip, norm=UNIFORM, free=True),
    pulled("Clip-uniform-negative", clip, norm=UNIFORM_NEGATIVE, free=True),
    pulled("Clip-crossed-negative", crossed_clip, norm=UNIFORM_NEGATIVE),
    pulled("Clip-crossed-10", op("Clip", min=1.5, max=-0.5), norm=UNIFORM_NEGATIVE, opset=10),
    pulled("Clip-STAYS", clip, *EDGE, "axis-mismatch", "operator-unknown"),
    *(pulled(f"{k}-STAYS", op(k), *EDGE, "operator-unknown") for k in NEVER),
    *(
        pulled(f"{k}-pure-scale-STAYS", op(k), *EDGE, "operator-unknown", norm=PURE)
        for k in NEVER[:3]
    ),
    pulled("Abs-pure-scale", op("Abs"), norm=PURE, free=True),
    pulled("Relu-dead", op("Relu"), norm=DEAD, free=True),
    pushed("Relu", op("Relu"), norm=PURE),
    pushed("Relu-shift", op("Relu"), norm={"positive": True}, free=True),
    pushed("Relu-all-negative", op("Relu"), norm=ALL_NEGATIVE, free=True),
    pushed("Relu-mixed-signs", op("Relu"), norm=MIXED, free=True),
    pushed("LeakyRelu", op("LeakyRelu", alpha=0.2), norm=PURE),
    pushed("LeakyRelu-shift-STAYS", op("LeakyRelu", alpha=0.2), *EDGE),
    pushed("PRelu", prelu(4, 1, 1), norm=PURE),
    pushed("Clip-uniform", clip, norm=UNIFORM, free=True),
    pushed("Clip-uniform-negative", clip, norm=UNIFORM_NEGATIVE, free=True),
    pushed("Clip-crossed-negative", crossed_clip, norm=UNIFORM_NEGATIVE),
    *(pushed(f"{k}-STAYS", op(k), *EDGE, "operator-unknown") for k in NEVER),
    between("leading-BN-Relu-STAYS", plain, op("Relu"), *EDGE, "negative-scale", c=3),
    through_two("Relu-MaxPool-two-norms"),
    transposed_relu("pull-Relu-Transpose"),
]
