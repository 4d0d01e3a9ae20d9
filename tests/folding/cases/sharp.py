"""Rows that notice a rule's single fault: a lost shift, a lost sign, a turned axis (mutants.py)."""

from __future__ import annotations

import numpy as np

from tests.folding.cases.activations import (
    ALL_NEGATIVE,
    PURE,
    SIGN,
    UNIFORM_NEGATIVE,
    op,
    pulled,
    pushed,
)
from tests.folding.cases.case import EDGE, Build, Case, case
from tests.folding.cases.joins import ONE
from tests.folding.moves import repeated
from tests.net import Net

POSITIVE = {"positive": True}
MIXED = {"parameters": ([1.0, -1.5, 2.0, -0.5], np.zeros(4), np.zeros(4), np.ones(4))}
MINUS_ONE = {
    "parameters": (-np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)),
    "eps": 0.0,
}


def slopes(n: Net, x: str) -> str:
    return n.op("PRelu", x, n.init(np.array([0.2, 0.3, 0.5, 0.7]).reshape(4, 1, 1)))


def twice(kind: str) -> Build:
    """The operator reads one tensor at both inputs."""
    return lambda n, x: n.op(kind, x, x)


def with_constant(kind: str) -> Build:
    return lambda n, x: n.op(kind, x, n.init(np.array([0.1, -0.4, 0.3, 0.8]).reshape(4, 1, 1)))


def less_other(n: Net, x: str) -> str:
    return n.op("Sub", x, n.op("Sigmoid", n.input(("N", 4, 6, 6), name="z")))


def masked(n: Net, x: str) -> str:
    mask = n.op("Greater", n.conv(n.input(("N", 2, 6, 6), name="m"), 2, 4, k=1), n.init(0.0))
    return n.op("Where", mask, x, x)


def two_branches(label: str, kind: str, *codes: str, norm: object) -> Case:
    """Two convolutions -> operator -> BatchNorm."""
    net = Net(label)
    x = net.input(("N", 3, 6, 6))
    branches = [net.conv(x, 3, 4, k=1), net.conv(x, 3, 4, k=1)]
    if kind == "Where":
        branches.insert(0, net.op("Greater", net.conv(x, 3, 4, k=1), net.init(0.0)))
    return case(net.out(net.bn(net.op(kind, *branches), 4, **norm)), *codes)  # type: ignore[arg-type]


def into(label: str, move: Build, sink: Build, *codes: str, norm: object, c: int = 4) -> Case:
    """BatchNorm over c -> operator -> sink."""
    net = Net(f"sharp-push-{label}")
    x = net.op("Sigmoid", net.input((2, c, 6, 6)))
    y = sink(net, move(net, net.bn(x, c, **norm)))  # type: ignore[arg-type]
    return case(net.out(y), *codes)


def pointwise(cin: int) -> Build:
    return lambda n, x: n.conv(x, cin, 5, k=1)


def head(n: Net, x: str) -> str:
    return n.gemm(n.op("Flatten", x), 4, 5)


def halves(n: Net, x: str) -> str:
    first, second = n.ops("Split", [x, n.ints(1, 3)], 2, axis=1)
    return n.op("Concat", n.conv(first, 1, 2, k=1), n.conv(second, 3, 2, k=1), axis=1)


def instance(n: Net, x: str) -> str:
    return n.op("InstanceNormalization", x, n.weight(4), n.weight(4))


def nonlinear(n: Net, x: str) -> str:
    return n.op("Tanh", x)


def itself(n: Net, x: str) -> str:
    return x


def stretched(n: Net, x: str) -> str:
    return n.op("Expand", n.op("Unsqueeze", x, n.ints(0)), n.ints(3, 2, 4, 6, 6))


def back(n: Net, x: str) -> str:
    return n.conv(n.op("Reshape", x, n.ints(6, 4, 6, 6)), 4, 5)


REDUCED = {"axes": [2, 3], "keepdims": 0}
BLOCKS = {"parameters": repeated(2, 4, tiled=True)}

ROWS: list[Case] = [
    pulled("sharp-Abs", op("Abs"), norm=PURE),
    pulled("sharp-Abs-shift-STAYS", op("Abs"), *EDGE, norm=POSITIVE),
    pulled("sharp-Abs-signs-STAYS", op("Abs"), *SIGN, norm=MIXED),
    pushed("sharp-Abs", op("Abs"), norm=MIXED),
    pushed("sharp-Abs-shift-STAYS", op("Abs"), *EDGE, norm=POSITIVE),
    pulled("sharp-InstanceNormalization", instance),
    into("InstanceNormalization-shift", instance, nonlinear, norm=ONE),
    into("InstanceNormalization-turned-STAYS", instance, nonlinear, *EDGE, norm=MINUS_ONE),
    pulled("sharp-PRelu-signs", slopes, norm=MIXED),
    pushed("sharp-PRelu-signs", slopes, norm=MIXED),
    pushed("sharp-PRelu-shift-STAYS", slopes, *EDGE, norm=POSITIVE),
    pushed("sharp-LeakyRelu-all-negative", op("LeakyRelu", alpha=0.2), norm=ALL_NEGATIVE),
    pushed("sharp-LeakyRelu-signs-STAYS", op("LeakyRelu", alpha=0.2), *SIGN, norm=MIXED),
    *[two_branches(f"sharp-pull-{kind}", kind, norm=POSITIVE) for kind in ("Max", "Min")],
    *[two_branches(f"sharp-pull-{k}-signs-STAYS", k, *SIGN, norm=MIXED) for k in ("Max", "Min")],
    two_branches("sharp-pull-Where", "Where", norm={}),
    pushed("sharp-Where", masked),
    pushed("sharp-Cast", op("Cast", to=1)),
    *[pushed(f"sharp-{kind}-of-itself", twice(kind)) for kind in ("Mean", "Sum", "Add")],
    pushed("sharp-Sub-constant", with_constant("Sub")),
    pushed("sharp-Sub-branch-shift-only", less_other, norm=ONE),
    *[
        pushed(f"sharp-{kind}-constant", with_constant(kind), norm=POSITIVE)
        for kind in ("Max", "Min")
    ],
    *[
        pushed(f"sharp-{k}-constant-signs-STAYS", with_constant(k), *SIGN, norm=MIXED)
        for k in ("Max", "Min")
    ],
    into("DepthToSpace-blocks", op("DepthToSpace", blocksize=2), pointwise(2), norm=BLOCKS, c=8),
    into("DepthToSpace-one", op("DepthToSpace", blocksize=2), pointwise(1), norm=UNIFORM_NEGATIVE),
    into("Expand", stretched, back, norm={}),
    into("GlobalMaxPool", op("GlobalMaxPool"), pointwise(4), norm=POSITIVE),
    into("GlobalMaxPool-signs-STAYS", op("GlobalMaxPool"), pointwise(4), *SIGN, norm=MIXED),
    *[into(k, op(k, **REDUCED), head, norm=POSITIVE) for k in ("ReduceMax", "ReduceMin")],
    *[
        into(f"{k}-signs-STAYS", op(k, **REDUCED), head, *SIGN, norm=MIXED)
        for k in ("ReduceMax", "ReduceMin")
    ],
    into("Split", halves, itself, norm={}),
]
