"""Transposed Convs of one tensor: laid over each other by where their outputs fall."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.build import node, randn, tensor
from tests.merging.fuzz import judge
from tests.merging.parts import RNG, Parts, conv, net, norm, op
from tests.merging.test_rows import ADD, ONE, Row


def spread(
    x: str, y: str, kernel: int, inputs: int = 4, *, bias: bool = True, **attrs: object
) -> Parts:
    """A ConvTranspose to four channels."""
    group = int(attrs.get("group", 1))  # type: ignore[call-overload]
    weight = tensor(f"{y}.w", randn(RNG, inputs, 4 // group, kernel, kernel))
    made = [weight, *([tensor(f"{y}.b", randn(RNG, 4))] if bias else [])]
    return [node("ConvTranspose", [x, *(c.name for c in made)], y, **attrs)], made


TWO = {"strides": [2, 2]}
DOUBLE = {**TWO, "pads": [1, 1, 1, 1]}  # with a 4x4 kernel
ROWS = [
    Row("4x4 + 2x2", net(spread("x", "a", 4, **DOUBLE), spread("x", "b", 2, **TWO), ADD), {}),
    Row(
        "open sizes, a BatchNorm, an output padding",
        net(
            spread("x", "a", 4, **DOUBLE),
            spread("x", "c", 3, output_padding=[1, 1], **DOUBLE),
            norm("c", "b"),
            ADD,
            size=None,
        ),
        {},
    ),
    Row(
        "groups 2 and 4",
        net(spread("x", "a", 4, group=2, **DOUBLE), spread("x", "b", 2, group=4, **TWO), ADD),
        {},
    ),
    Row(
        "a dilated kernel",
        net(spread("x", "a", 5, pads=[2] * 4), spread("x", "b", 3, dilations=[2, 2], pads=[2] * 4),
            ADD),
        {},
    ),
    Row(
        "strides differ where sizes meet",
        net(spread("x", "a", 5, pads=[2] * 4), spread("x", "b", 2, strides=[2, 2], pads=[4] * 4),
            ADD, size=8),
        {"ConvTranspose": 2, "Add": 1},
        "geometry-differs",
    ),
    Row(
        "-> 1x1",
        net(spread("x", "a", 2, **TWO), conv("a", "y", **ONE)),
        {},
    ),
    Row(
        "1x1 without bias -> it",
        net(conv("x", "a", bias=False, **ONE), spread("a", "y", 4, **DOUBLE)),
        {},
    ),
    Row(
        "1x1 with bias -> it: the border answers the bias otherwise",
        net(conv("x", "a", **ONE), spread("a", "y", 4, **DOUBLE)),
        {"Conv": 1, "ConvTranspose": 1},
        "padding-shift",
    ),
    Row(
        "-> 3x3",
        net(spread("x", "a", 2, **TWO), conv("a", "y", pads=[1] * 4)),
        {"Conv": 1, "ConvTranspose": 1},
    ),
    Row(
        "beside a Conv",
        net(spread("x", "a", 3, pads=[1] * 4), conv("x", "b", pads=[1] * 4), ADD),
        {"Conv": 1, "ConvTranspose": 1, "Add": 1},
    ),
    Row(
        "beside the tensor itself",
        net(spread("x", "a", 3, pads=[1] * 4), op("Add", ["a", "x"], "y")),
        {},
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_row(row: Row) -> None:
    result = judge(row.model, {"h": 8})
    left = Counter(n.op_type for n in result.model.graph.node)
    left.pop("Relu")
    assert dict(left) == (row.left or {"ConvTranspose": 1}), result.report.apart
    codes = {apart.code for apart in result.report.apart}
    assert row.code is None or row.code in codes, codes
