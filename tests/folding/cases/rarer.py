"""The rarer moves: exact by algebra, asked of a later version; right whatever becomes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.build import INT64, value
from tests.folding.cases.case import ANY, Build, Case, between, case, either, plain
from tests.net import Net

PURE = {"positive": True, "shift": False}
POSITIVE = {"positive": True}


def rarer(
    label: str, before: Build, after: Build | None = None, *, exact: bool = True, **how: Any
) -> Case:
    row = between(f"rarer-{label}", before, after, *ANY, **how)
    return Case(row.id, row.model, frozenset(), exact=exact)


def grouped(label: str) -> Case:
    """GroupNormalization; onnx infers no type for it."""
    net = Net(label, 21)
    y = net.conv(net.input((2, 3, 6, 6)), 3, 4)
    y = net.op("GroupNormalization", y, net.weight(4), net.weight(4), num_groups=2)
    net.options["value_info"] = [value(y, (2, 4, 4, 4))]
    return either(net.out(value(net.bn(y, 4), (2, 4, 4, 4))), exact=True)


def untyped(label: str) -> Case:
    """As it is written: nothing states a type between the layer and the model's output."""
    net = Net(label, 21)
    y = net.op("Relu", net.conv(net.input(("N", 3, 6, 6)), 3, 4))
    y = net.op("GroupNormalization", y, net.weight(4), net.weight(4), num_groups=2, stash_type=11)
    y = net.op("Relu", net.bn(y, 4, out="normed"))
    return case(net.out(value(y, ("N", 4, 4, 4))))


def conv(n: Net, x: str) -> str:
    return n.conv(x, 3, 4, bias=True)


def gemm(n: Net, x: str) -> str:
    return n.gemm(n.op("Flatten", n.op("GlobalAveragePool", x)), 4, 3)


def table(n: Net, x: str) -> str:
    """Gather(constant table, ids): into the table's columns."""
    return n.op("Gather", n.weight(2, 4), x, axis=0)


def lstm(n: Net, x: str) -> str:
    """Features on axis 1 of (T, C, N) moved last."""
    y = n.op("Transpose", x, perm=[0, 2, 1])
    w, r, b = n.weight(1, 20, 4), n.weight(1, 20, 5), n.weight(1, 40)
    return n.ops("LSTM", [y, w, r, b], 1, hidden_size=5)[0]


def embeddings(label: str) -> Case:
    net = Net(label)
    ids = net.input(("N",), "ids", INT64)
    return either(net.out(net.bn(table(net, ids), 4)), exact=True)


def then(kind: str, *tail: object, **attrs: Any) -> Build:
    """Conv -> a normalisation with its own scale and bias."""
    return lambda n, x: n.op(kind, conv(n, x), *(n.weight(4) for _ in tail), **attrs)


ROWS: list[Case] = [
    rarer("Relu-Max-pull", lambda n, x: n.op("Relu", conv(n, x)), norm=POSITIVE),
    rarer(
        "Relu-Max-push",
        lambda n, x: n.op("Sigmoid", x),
        lambda n, x: n.conv(n.op("Relu", x), 4, 5),
        norm=POSITIVE,
        shape=("N", 4, 6, 6),
    ),
    rarer(
        "Relu-Max-push-pool",
        lambda n, x: n.op("Sigmoid", x),
        lambda n, x: gemm(n, n.op("Relu", x)),
        norm=POSITIVE,
        shape=("N", 4, 6, 6),
    ),
    rarer(
        "Relu-padded",
        lambda n, x: n.op("Sigmoid", x),
        lambda n, x: n.conv(n.op("Relu", x), 4, 5, pads=[1] * 4),
        norm=POSITIVE,
        shape=("N", 4, 6, 6),
        exact=False,
    ),
    rarer(
        "LayerNormalization-pull",
        lambda n, x: n.op(
            "LayerNormalization", n.matmul(x, 3, 4), n.weight(4), n.weight(4), axis=-1
        ),
        shape=("N", 3),
    ),
    rarer("InstanceNormalization-pull", then("InstanceNormalization", 1, 2)),
    rarer(
        "InstanceNormalization-push",
        lambda n, x: n.op("Sigmoid", x),
        lambda n, x: n.op("InstanceNormalization", x, n.weight(4), n.weight(4)),
        shape=("N", 4, 6, 6),
        exact=False,
    ),
    grouped("rarer-GroupNormalization"),
    untyped("rarer-GroupNormalization-untyped"),
    rarer("LSTM-push", plain, lstm, shape=(5, 4, 2)),
    embeddings("rarer-Gather-table"),
    rarer("Einsum-pull", lambda n, x: n.op("Einsum", x, n.weight(3, 4), equation="bchw,cd->bdhw")),
    rarer(
        "Einsum-push",
        plain,
        lambda n, x: n.op("Einsum", x, n.weight(3, 5), equation="bchw,cd->bdhw"),
        c=3,
    ),
    rarer("CumSum-pure", lambda n, x: n.op("CumSum", conv(n, x), n.init(np.array(2))), norm=PURE),
    rarer("CumSum", lambda n, x: n.op("CumSum", conv(n, x), n.init(np.array(2))), exact=False),
    rarer("LpPool-pure", lambda n, x: n.op("LpPool", conv(n, x), kernel_shape=[2, 2]), norm=PURE),
    rarer("ReduceL2-pure", lambda n, x: n.op("ReduceL2", conv(n, x), axes=[2, 3]), norm=PURE),
    rarer("ArgMax-space", plain, lambda n, x: n.op("ArgMax", x, axis=2), norm=POSITIVE, c=3),
    rarer(
        "ArgMax-channels",
        plain,
        lambda n, x: n.op("ArgMax", x, axis=1),
        norm=POSITIVE,
        c=3,
        exact=False,
    ),
    rarer("Trilu-pure", lambda n, x: n.op("Trilu", conv(n, x)), norm=PURE),
    rarer(
        "RepVGG-identity",
        plain,
        lambda n, x: n.op("Add", x, n.bn(n.conv("x", 3, 3, pads=[1] * 4), 3)),
        c=3,
        exact=False,
    ),
]
