"""Scores Q K^T under a Softmax: a shift of K drops out of its row, a scale goes over to Q."""

from __future__ import annotations

from typing import Any

from tests.folding.cases.case import ANY, EDGE, Build, Case, case
from tests.net import Net

SHIFTS = {"parameters": ([1.0] * 4, [1.0, 2, -3, 4], [0.0] * 4, [1.0] * 4), "eps": 0.0}
PURE = {"shift": False}
STAYS = ("axis-mismatch", "value-used-elsewhere", *EDGE)
HEADS = {"parameters": ([1.0, 2, -3, 4, 0.5, 1.5, 2.5, -1], *[[0.5] * 8] * 2, [1.0] * 8)}


def linear(n: Net) -> str:
    return n.matmul(n.input(("N", 5, 3), "q"), 3, 4)


def given(n: Net) -> str:
    return n.input(("N", 5, 4), "q")


def bent(n: Net) -> str:
    return n.op("Tanh", given(n))


def normed(n: Net) -> str:
    return n.op("Transpose", n.bn(n.op("Tanh", n.input(("N", 4, 5), "q")), 4), perm=[0, 2, 1])


def softmax(axis: int = -1) -> Build:
    return lambda n, x: n.op("Softmax", x, axis=axis)


def halved(n: Net, x: str) -> str:
    return n.op("Div", x, n.init(2.0))


def masked(n: Net, x: str) -> str:
    return n.op("Add", halved(n, x), n.input(("N", 1, 7), "mask"))


def by_key(n: Net, x: str) -> str:
    return n.op("Mul", x, n.weight(7))


def filled(n: Net, x: str) -> str:
    """Masked by a large number, not by minus infinity: the shift would be seen beside it."""
    mask = n.op("Greater", n.input(("N", 5, 7), "mask"), n.init(0.0))
    return n.op("Where", mask, x, n.init(-3.0))


def scores(
    label: str,
    query: Any,
    between: Build,
    *codes: str,
    end: Build | None = None,
    norm: dict[str, Any] | None = None,
    opset: int = 17,
    output: bool = False,
) -> Case:
    """MatMul(query, BatchNorm(.)) -> between -> Softmax -> the product with values."""
    net = Net(f"scores-{label}", opset)
    q = query(net)
    k = net.bn(net.op("Sigmoid", net.input(("N", 4, 7))), 4, **(norm or {}))
    s = between(net, net.op("MatMul", q, k))
    p = (end or softmax())(net, s)
    y = net.op("MatMul", p, net.input(("N", 7, 3), "v"))
    return case(net.out(y, s) if output else net.out(y), *codes)


def heads(label: str) -> Case:
    """Two heads of four features, each with its own scale."""
    net = Net(label)
    q = net.op("Reshape", net.matmul(net.input(("N", 5, 3), "q"), 3, 8), net.ints(-1, 5, 2, 4))
    q = net.op("Transpose", q, perm=[0, 2, 1, 3])
    k = net.bn(net.op("Sigmoid", net.input(("N", 8, 7))), 8, **HEADS)
    s = net.op("MatMul", q, net.op("Reshape", k, net.ints(-1, 2, 4, 7)))
    y = net.op("MatMul", net.op("Softmax", s, axis=-1), net.input(("N", 2, 7, 3), "v"))
    return case(net.out(y))


def side_of_queries(label: str, *codes: str, **norm: Any) -> Case:
    """BatchNorm on Q: its scale goes over to K, but its shift meets every key another way."""
    net = Net(label)
    x = net.op("Sigmoid", net.input(("N", 4, 5), "q"))
    q = net.op("Transpose", net.bn(x, 4, **norm), perm=[0, 2, 1])
    s = net.op("MatMul", q, net.conv(net.input(("N", 3, 7)), 3, 4, 1, rank=1))
    return case(net.out(net.op("Softmax", s, axis=-1)), *codes)


def both_sides(label: str) -> Case:
    """Q and K are the same BatchNorm's."""
    net = Net(label)
    y = net.bn(net.op("Sigmoid", net.input(("N", 4, 5))), 4)
    s = net.op("MatMul", net.op("Transpose", y, perm=[0, 2, 1]), y)
    return case(net.out(net.op("Softmax", s, axis=-1)), *ANY)


def from_one_split(label: str) -> Case:
    """Q and K are halves of one projection: the scale goes into Q's half alone."""
    net = Net(label)
    both = net.matmul(net.input(("N", 5, 3)), 3, 8)
    q, k = net.ops("Split", [both, net.ints(4, 4)], 2, axis=2)
    k = net.bn(net.op("Sigmoid", net.op("Transpose", k, perm=[0, 2, 1])), 4)
    return case(net.out(net.op("Softmax", net.op("MatMul", q, k), axis=-1)))


ROWS: list[Case] = [
    scores("shift", given, halved, norm=SHIFTS),
    scores("shift-and-scale", linear, halved),
    scores("mask", linear, masked),
    scores("log", linear, halved, end=lambda n, x: n.op("LogSoftmax", x)),
    scores("opset11", linear, halved, end=softmax(2), opset=11),
    scores("scale-without-softmax", linear, halved, end=lambda n, x: n.op("Tanh", x), norm=PURE),
    scores("without-softmax-STAYS", linear, halved, *STAYS, end=lambda n, x: n.op("Tanh", x)),
    scores("opset11-flattened-STAYS", linear, halved, *STAYS, end=softmax(1), opset=11),
    scores("other-axis-STAYS", linear, halved, *STAYS, end=softmax(1)),
    scores("scaled-by-key-STAYS", given, by_key, *STAYS, norm=SHIFTS),
    scores("filled-STAYS", given, filled, *STAYS, norm=SHIFTS),
    scores("output-STAYS", linear, halved, *STAYS, output=True),
    scores("query-bent-STAYS", bent, halved, *STAYS),
    scores("query-given-STAYS", given, halved, *STAYS),
    scores("query-normed", normed, halved, "nonlinear-neighbours", "axis-mismatch", *EDGE),
    heads("scores-heads"),
    side_of_queries("scores-query-side", shift=False),
    side_of_queries("scores-query-side-STAYS", *STAYS),
    both_sides("scores-both-sides-STAYS"),
    from_one_split("scores-from-one-split"),
]
