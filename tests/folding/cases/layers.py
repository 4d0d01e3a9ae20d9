"""Norm layers, recurrent inputs and Softmax: inside of each rule's condition, and just outside."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.build import value
from tests.folding.cases.case import EDGE, Build, Case, case
from tests.folding.moves import repeated
from tests.net import Net

ONES = {"parameters": (np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)), "eps": 0.0}
ONE_SHIFT = {"parameters": (np.ones(4), np.full(4, 3.0), np.zeros(4), np.ones(4)), "eps": 0.0}
PAIRS = {"parameters": repeated(2, 2)}
PAIRS_SHIFT = {"parameters": (np.ones(4), [1.0, 1, 2, 2], np.zeros(4), np.ones(4)), "eps": 0.0}
TURNED = {"parameters": (-np.ones(4), np.arange(4.0), np.zeros(4), np.ones(4)), "eps": 0.0}
TURNED_PAIRS = {"parameters": (-np.ones(4), [1.0, 1, 2, 2], np.zeros(4), np.ones(4)), "eps": 0.0}
SIGN = "negative-scale"


def behind(label: str, op: Build, *codes: str, opset: int = 17, rank: int = 4, **norm: Any) -> Case:
    """A layer -> BatchNorm over axis 1."""
    net = Net(f"layer-pull-{label}", opset)
    shape = (2, 4, 5, 5)[:rank]
    y = op(net, net.op("Tanh", net.input(shape)))
    net.options["value_info"] = [value(y, shape)]
    return case(net.out(value(net.op("Tanh", net.bn(y, 4, **norm)), shape)), *codes)


def before(label: str, op: Build, *codes: str, opset: int = 17, rank: int = 4, **norm: Any) -> Case:
    """BatchNorm over axis 1 -> a layer."""
    net = Net(f"layer-push-{label}", opset)
    shape = (2, 4, 5, 5)[:rank]
    y = op(net, net.bn(net.op("Tanh", net.input(shape)), 4, **norm))
    return case(net.out(value(y, shape)), *codes)


def layer(*shape: int, axis: int = -1, bias: bool = True) -> Build:
    def made(n: Net, x: str) -> str:
        tail = [n.weight(*shape)] if bias else []
        return n.op("LayerNormalization", x, n.weight(*shape), *tail, axis=axis)

    return made


def read_mean(n: Net, x: str) -> str:
    y, mean = n.ops("LayerNormalization", [x, n.weight(4), n.weight(4)], 2, axis=-1)
    return n.op("Add", y, mean)


def rms(n: Net, x: str) -> str:
    return n.op("RMSNormalization", x, n.weight(4), axis=-1)


def group(per: int) -> Build:
    return lambda n, x: n.op(
        "GroupNormalization", x, n.weight(per), n.weight(per), num_groups=2, stash_type=11
    )


def op(kind: str, **attrs: Any) -> Build:
    return lambda n, x: n.op(kind, x, **attrs)


def mean_of(*axes: int) -> Build:
    return op("MeanVarianceNormalization", axes=list(axes))


def swapped(inner: Build) -> Build:
    """The layer on the last axis, between two Transposes."""

    def made(n: Net, x: str) -> str:
        y = inner(n, n.op("Transpose", x, perm=[0, 2, 1]))
        return n.op("Transpose", y, perm=[0, 2, 1])

    return made


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(
    label: str, kind: str, *codes: str, both: bool = False, bias: str = "", swap: bool = True,
    **attrs: Any,
) -> Case:  # fmt: skip
    """BatchNorm over the features (or, without `swap`, over the batch) of a recurrent layer."""
    net = Net(f"recurrent-{label}")
    x = net.bn(net.op("Tanh", net.input((5, 4, 4))), 4)
    x = net.op("Transpose", x, perm=[0, 2, 1]) if swap else x
    if attrs.get("layout"):
        x = net.op("Transpose", x, perm=[1, 0, 2])
    d, g = 1 + both, GATES[kind] * 3
    parts = [x, net.weight(d, g, 4), net.weight(d, g, 3)]
    b = net.weight(d, 2 * g)
    if bias == "computed":
        z = net.input((d, 2 * g), "z")
        b = net.op("Add", b, net.op("Tanh", z))
    parts += [b] if bias else []
    how = {"hidden_size": 3, "direction": "bidirectional" if both else None, **attrs}
    return case(net.out(net.ops(kind, parts, 1, **how)[0]), *codes)


def peephole(label: str) -> Case:
    """With initial states and peepholes."""
    net = Net(label)
    x = net.op("Transpose", net.bn(net.op("Tanh", net.input((5, 4, 2))), 4), perm=[0, 2, 1])
    more = ["", net.weight(1, 2, 3), net.weight(1, 2, 3)]
    parts = [x, net.weight(1, 12, 4), net.weight(1, 12, 3), net.weight(1, 24), *more]
    return case(net.out(net.ops("LSTM", [*parts, net.weight(1, 9)], 1, hidden_size=3)[0]))


ROWS: list[Case] = [
    behind("LayerNormalization", swapped(layer(4)), rank=3),
    behind("LayerNormalization-no-bias", swapped(layer(4, bias=False)), rank=3),
    behind("LayerNormalization-whole", layer(4, 5, 5, axis=1)),
    behind("LayerNormalization-other-axis-STAYS", layer(5), "axis-mismatch", SIGN, *EDGE, rank=3),
    before("LayerNormalization", swapped(layer(4)), rank=3, **ONE_SHIFT),
    before("LayerNormalization-other-axis", layer(5), rank=3, **ONES),
    before("LayerNormalization-shifts-STAYS", swapped(layer(4)), *EDGE, rank=3, **ONES),
    before("LayerNormalization-scale-STAYS", layer(5), *EDGE, rank=3, positive=True, shift=False),
    before("LayerNormalization-mean-read-STAYS", swapped(read_mean), *EDGE, rank=3, **ONE_SHIFT),
    behind("RMSNormalization", swapped(rms), opset=23, rank=3, shift=False),
    behind("RMSNormalization-shift-STAYS", swapped(rms), *EDGE, opset=23, rank=3),
    behind("GroupNormalization-21", group(4), opset=21),
    before("GroupNormalization", group(4), opset=21, **PAIRS_SHIFT),
    before("GroupNormalization-STAYS", group(4), *EDGE, opset=21, **ONES),
    before("GroupNormalization-scale-STAYS", group(4), *EDGE, opset=21, **PAIRS),
    before("Softmax-space", op("Softmax", axis=2), **ONES),
    before("Softmax-channels", op("Softmax", axis=1), **ONE_SHIFT),
    before("Softmax-channels-STAYS", op("Softmax", axis=1), *EDGE, **ONES),
    before("Softmax-scale-STAYS", op("Softmax", axis=2), *EDGE, positive=True, shift=False),
    before("Softmax-opset11", op("Softmax", axis=2), opset=11, **ONES),
    before("Softmax-opset11-STAYS", op("Softmax", axis=1), *EDGE, opset=11, **ONES),
    before("LogSoftmax-space", op("LogSoftmax", axis=3), **ONES),
    before("LogSoftmax-channels-STAYS", op("LogSoftmax", axis=1), *EDGE, **ONES),
    *(
        before(f"{k}-turned-STAYS", op(k, axis=2), *EDGE, SIGN, **TURNED)
        for k in ("Softmax", "LogSoftmax")
    ),
    before("LayerNormalization-turned-STAYS", layer(5), *EDGE, SIGN, rank=3, **TURNED),
    before("GroupNormalization-turned-STAYS", group(4), *EDGE, SIGN, opset=21, **TURNED_PAIRS),
    before("MeanVarianceNormalization", op("MeanVarianceNormalization", axes=[2, 3]), **ONES),
    before("MeanVarianceNormalization-channels", mean_of(1, 2, 3), **ONE_SHIFT),
    before("MeanVarianceNormalization-channels-STAYS", mean_of(1, 2, 3), *EDGE, **ONES),
    before("MeanVarianceNormalization-turned-STAYS", mean_of(2, 3), *EDGE, SIGN, **TURNED),
    before(
        "MeanVarianceNormalization-scale-STAYS", mean_of(2, 3), *EDGE, positive=True, shift=False
    ),
    *(recurrent(f"{k}", k, bias="constant") for k in GATES),
    *(recurrent(f"{k}-no-bias-both", k, both=True) for k in GATES),
    recurrent("GRU-reset-before", "GRU", bias="constant", linear_before_reset=1),
    recurrent("LSTM-computed-bias-STAYS", "LSTM", *EDGE, bias="computed"),
    recurrent("GRU-batch-axis-STAYS", "GRU", "axis-mismatch", *EDGE, bias="constant", swap=False),
    peephole("recurrent-LSTM-peephole"),
]
