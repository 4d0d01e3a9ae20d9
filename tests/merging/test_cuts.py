"""Slices that crop or thin out a branch, and Concats of operators of one tensor."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest

from tests.build import ints, node
from tests.merging.fuzz import judge
from tests.merging.parts import Parts, conv, net, norm, op
from tests.merging.test_rows import ADD, ONE, SAME, Row

HUGE = 2**63 - 1


def cut(x: str, y: str, *spans: tuple[int, int, int, int]) -> Parts:
    """A Slice; a span is (axis, start, end, step)."""
    names = [f"{y}.starts", f"{y}.ends", f"{y}.axes", f"{y}.steps"]
    columns = [[span[i] for span in spans] for i in (1, 2, 0, 3)]
    made = [ints(name, *column) for name, column in zip(names, columns, strict=True)]
    return [node("Slice", [x, *names], y)], made


def crossed(size: int | None) -> onnx.ModelProto:
    """ACNet without padding: the 3x1 reads a tensor without its first and last column."""
    return net(
        conv("x", "a"),
        cut("x", "c", (3, 1, -1, 1)),
        conv("c", "b", kernel=(3, 1)),
        ADD,
        size=size,
    )


JOIN = op("Concat", ["a", "b"], "y", axis=1)
ROWS = [
    Row("a cropped branch", crossed(8), {"Conv": 1}),
    Row("a cropped branch of an open size", crossed(None), {"Conv": 1}),
    Row(
        "every other row -> 1x1",
        net(cut("x", "a", (2, 0, HUGE, 2), (3, 0, HUGE, 2)), conv("a", "y", **ONE), size=None),
        {"Conv": 1},
    ),
    Row(
        "the odd rows -> 3x3 padded: a dilated kernel",
        net(cut("x", "a", (2, 1, HUGE, 2)), conv("a", "y", **SAME)),
        {"Conv": 1},
    ),
    Row(
        "every other row from the third -> 3x3 padded: the first is not zero",
        net(cut("x", "a", (2, 2, HUGE, 2)), conv("a", "y", **SAME)),
        {"Conv": 1, "Slice": 1},
        "padding-shift",
    ),
    Row(
        "cropped, then padded",
        net(cut("x", "a", (2, 1, -1, 1)), conv("a", "y", **SAME)),
        {"Conv": 1, "Slice": 1},
        "padding-shift",
    ),
    Row(
        "the end counted from the front, size known",
        net(cut("x", "c", (3, 1, 7, 1)), conv("x", "a"), conv("c", "b", kernel=(3, 1)), ADD),
        {"Conv": 1},
    ),
    Row(
        "the end counted from the front, size open",
        net(
            cut("x", "c", (3, 1, 7, 1)),
            conv("x", "a"),
            conv("c", "b", kernel=(3, 1)),
            ADD,
            size="h",
        ),
        {"Conv": 2, "Slice": 1, "Add": 1},
        "shape-unknown",
    ),
    Row(
        "channels cut",
        net(cut("x", "a", (1, 0, 2, 1)), conv("a", "y", 4, 2, **SAME)),
        {"Conv": 1, "Slice": 1},
    ),
    Row("3x3 beside 3x3", net(conv("x", "a", **SAME), conv("x", "b", **SAME), JOIN), {"Conv": 1}),
    Row(
        "one with a bias, one with a BatchNorm",
        net(conv("x", "a", **ONE), conv("x", "c", 2, bias=False, **ONE), norm("c", "b", 2), JOIN),
        {"Conv": 1},
    ),
    Row(
        "3x3 beside 1x1 costs more",
        net(conv("x", "a", **SAME), conv("x", "b", **ONE), JOIN),
        {"Conv": 2, "Concat": 1},
        "would-cost-more",
    ),
    Row(
        "depthwise beside depthwise costs more",
        net(conv("x", "a", group=4, **SAME), conv("x", "b", group=4, **SAME), JOIN),
        {"Conv": 2, "Concat": 1},
        "would-cost-more",
    ),
    Row(
        "x beside a Conv costs more",
        net(conv("x", "a", **SAME), op("Concat", ["x", "a"], "y", axis=1)),
        {"Conv": 1, "Concat": 1},
        "would-cost-more",
    ),
    Row(
        "behind one another along the width",
        net(conv("x", "a", **SAME), conv("x", "b", **SAME), op("Concat", ["a", "b"], "y", axis=3)),
        {"Conv": 2, "Concat": 1},
    ),
    Row(
        "joined, then 1x1",
        net(
            conv("x", "a", **SAME),
            conv("x", "b", **SAME),
            op("Concat", ["a", "b"], "j", axis=1),
            conv("j", "y", 4, 8, **ONE),
        ),
        {"Conv": 1},
    ),
    Row(
        "a sum of joined ones",
        net(
            conv("x", "a", 2, **SAME),
            conv("x", "b", 2, **SAME),
            op("Concat", ["a", "b"], "j", axis=1),
            conv("x", "c", **ONE),
            op("Add", ["c", "j"], "y"),
        ),
        {"Conv": 1},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_row(row: Row) -> None:
    result = judge(row.model, {"h": 8})
    left = Counter(n.op_type for n in result.model.graph.node)
    left.pop("Relu")
    assert dict(left) == row.left, result.report.apart
    codes = {apart.code for apart in result.report.apart}
    assert row.code is None or row.code in codes, codes
