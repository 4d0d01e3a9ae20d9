"""What merges and what must not: one row a condition, just inside and just outside of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import onnx
import pytest

from tests.merging.fuzz import judge
from tests.merging.parts import conv, gelu, huge, net, norm, op, scale


@dataclass(frozen=True)
class Row:
    """`left`: operators of the merged model, but for Relu; `code`: why the rest stays apart."""

    id: str
    model: onnx.ModelProto
    left: dict[str, int]
    code: str | None = None


SAME, ONE = {"pads": [1, 1, 1, 1]}, {"kernel": (1, 1)}
ADD = op("Add", ["a", "b"], "y")
POOL = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}

ROWS = [
    Row("3x3 + 1x1", net(conv("x", "a", **SAME), conv("x", "b", **ONE), ADD), {"Conv": 1}),
    Row(
        "3x3 - 1x1",
        net(conv("x", "a", **SAME), conv("x", "b", **ONE), op("Sub", ["a", "b"], "y")),
        {"Conv": 1},
    ),
    Row(
        "open sizes",
        net(conv("x", "a", **SAME), conv("x", "b", **ONE), ADD, size=None),
        {"Conv": 1},
    ),
    Row(
        "pads that shift",
        net(
            conv("x", "a", kernel=(2, 2), pads=[0, 0, 1, 1]),
            conv("x", "b", kernel=(2, 2), pads=[1, 1, 0, 0]),
            conv("x", "c", **SAME),
            op("Sum", ["a", "b", "c"], "y"),
        ),
        {"Conv": 1},
    ),
    Row("+ x", net(conv("x", "a", **SAME), op("Add", ["a", "x"], "y")), {"Conv": 1}),
    Row("BN(x) beside", net(conv("x", "a", **SAME), norm("x", "b"), ADD), {"Conv": 1}),
    Row(
        "BN behind Conv + x",
        net(conv("x", "a", **SAME), op("Add", ["a", "x"], "s"), norm("s", "y")),
        {"Conv": 1},
    ),
    Row(
        "x + k (conv - BN)",
        net(
            conv("x", "a", group=4, **SAME),
            norm("x", "b"),
            op("Sub", ["a", "b"], "s"),
            scale("s", "t"),
            op("Add", ["x", "t"], "y"),
        ),
        {"Conv": 1},
    ),
    Row(
        "a dilated kernel is a sparse large one",
        net(
            conv("x", "a", kernel=(5, 5), pads=[2] * 4),
            conv("x", "b", dilations=[2, 2], pads=[2] * 4),
            ADD,
        ),
        {"Conv": 1},
    ),
    Row(
        "two of one dilation",
        net(
            conv("x", "a", dilations=[2, 2], pads=[2] * 4),
            conv("x", "b", dilations=[2, 2], pads=[2] * 4),
            ADD,
        ),
        {"Conv": 1},
    ),
    Row(
        "a cross of 1x3 and 3x1 costs more",
        net(
            conv("x", "a", kernel=(1, 3), pads=[0, 1, 0, 1]),
            conv("x", "b", kernel=(3, 1), pads=[1, 0, 1, 0]),
            ADD,
        ),
        {"Conv": 2, "Add": 1},
        "would-cost-more",
    ),
    Row(
        "and is free beside 3x3",
        net(
            conv("x", "a", kernel=(1, 3), pads=[0, 1, 0, 1]),
            conv("x", "b", kernel=(3, 1), pads=[1, 0, 1, 0]),
            conv("x", "c", **SAME),
            op("Sum", ["a", "b", "c"], "y"),
        ),
        {"Conv": 1},
    ),
    Row(
        "dense 1x1 + depthwise 3x3 costs more",
        net(conv("x", "a", group=4, **SAME), conv("x", "b", **ONE), ADD),
        {"Conv": 2, "Add": 1},
        "would-cost-more",
    ),
    Row(
        "groups 2 and 4",
        net(conv("x", "a", group=2, **SAME), conv("x", "b", group=4, **SAME), ADD),
        {"Conv": 1},
    ),
    Row(
        "pool, padding counted",
        net(
            conv("x", "a", **SAME), op("AveragePool", ["x"], "b", count_include_pad=1, **POOL), ADD
        ),
        {"Conv": 1},
    ),
    Row(
        "pool, padding not counted",
        net(conv("x", "a", **SAME), op("AveragePool", ["x"], "b", **POOL), ADD),
        {"Conv": 1, "AveragePool": 1, "Add": 1},
        "geometry-differs",
    ),
    Row(
        "pool without padding",
        net(conv("x", "a"), op("AveragePool", ["x"], "b", kernel_shape=[3, 3]), ADD),
        {"Conv": 1},
    ),
    Row(
        "ceil_mode adds a window",
        net(
            conv("x", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
            op("AveragePool", ["x"], "b", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            ADD,
        ),
        {"Conv": 1, "AveragePool": 1, "Add": 1},
        "geometry-differs",
    ),
    Row(
        "strides alike",
        net(conv("x", "a", strides=[2, 2], **SAME), conv("x", "b", strides=[2, 2], **ONE), ADD),
        {"Conv": 1},
    ),
    Row(
        "strides differ where sizes meet",
        net(conv("x", "a", strides=[3, 3]), conv("x", "b", strides=[4, 4], kernel=(4, 4)), ADD),
        {"Conv": 2, "Add": 1},
        "geometry-differs",
    ),
    Row(
        "SAME, size known",
        net(
            conv("x", "a", strides=[2, 2], auto_pad="SAME_UPPER"),
            conv("x", "b", strides=[2, 2], **ONE),
            ADD,
        ),
        {"Conv": 1},
    ),
    Row(
        "SAME, size open",
        net(
            conv("x", "a", strides=[2, 2], auto_pad="SAME_UPPER"),
            conv("x", "b", strides=[2, 2], **ONE),
            ADD,
            size=None,
        ),
        {"Conv": 2, "Add": 1},
        "shape-unknown",
    ),
    Row(
        "SAME_LOWER is another corner",
        net(
            conv("x", "a", kernel=(2, 2), auto_pad="SAME_LOWER"),
            conv("x", "b", kernel=(2, 2), auto_pad="SAME_UPPER"),
            conv("x", "c", **SAME),
            op("Sum", ["a", "b", "c"], "y"),
        ),
        {"Conv": 1},
    ),
    Row(
        "k along the width is no scale per channel",
        net(conv("x", "a", **SAME), scale("x", "b", (8,)), ADD),
        {"Conv": 1, "Mul": 1, "Add": 1},
    ),
    Row(
        "a third branch of another tensor",
        net(
            conv("x", "a", **SAME),
            conv("x", "b", **ONE),
            op("Add", ["a", "b"], "s"),
            op("Sigmoid", ["x"], "z"),
            op("Sub", ["z", "s"], "y"),
        ),
        {"Conv": 1, "Sigmoid": 1, "Add": 1},
    ),
    Row(
        "another reader of a branch",
        net(
            conv("x", "a", **SAME),
            conv("x", "b", **ONE),
            op("Add", ["a", "b"], "s"),
            op("Sigmoid", ["a"], "z"),
            op("Add", ["z", "s"], "y"),
        ),
        {"Conv": 2, "Sigmoid": 1, "Add": 2},
        "would-cost-more",
    ),
    Row("1x1 -> 3x3 unpadded", net(conv("x", "a", **ONE), conv("a", "y")), {"Conv": 1}),
    Row(
        "1x1 with bias -> 3x3 padded",
        net(conv("x", "a", **ONE), conv("a", "y", **SAME)),
        {"Conv": 2},
        "padding-shift",
    ),
    Row(
        "1x1 without bias -> 3x3 padded",
        net(conv("x", "a", bias=False, **ONE), conv("a", "y", **SAME)),
        {"Conv": 1},
    ),
    Row(
        "a bias that meets padding keeps its own branch apart alone",
        net(
            conv("x", "a", **SAME),
            conv("x", "b", **ONE),
            conv("x", "c", **ONE),
            conv("c", "d", **SAME),
            op("Sum", ["a", "b", "d"], "y"),
        ),
        {"Conv": 3, "Add": 1},
        "padding-shift",
    ),
    Row("3x3 -> 1x1", net(conv("x", "a", **SAME), conv("a", "y", **ONE)), {"Conv": 1}),
    Row(
        "1x1 padded -> 1x1: zeros of x give the bias",
        net(conv("x", "a", pads=[1] * 4, **ONE), conv("a", "y", **ONE)),
        {"Conv": 1},
    ),
    Row(
        "3x3 padded -> 3x3 padded",
        net(
            conv("x", "a", bias=False, group=4, kernel=(3, 1), pads=[1, 0, 1, 0]),
            conv("a", "y", bias=False, group=4, kernel=(3, 1), pads=[1, 0, 1, 0]),
        ),
        {"Conv": 2},
        "padding-shift",
    ),
    Row(
        "bottleneck costs more",
        net(conv("x", "a", 1, **ONE), conv("a", "y", 4, 1, **ONE)),
        {"Conv": 2},
        "would-cost-more",
    ),
    Row(
        "depthwise -> pointwise costs more",
        net(conv("x", "a", group=4, **SAME), conv("a", "y", **ONE)),
        {"Conv": 2},
        "would-cost-more",
    ),
    Row(
        "Conv -> pool: four times the parameters",
        net(
            conv("x", "a", **ONE),
            op("AveragePool", ["a"], "y", kernel_shape=[2, 2], strides=[2, 2]),
        ),
        {"Conv": 1, "AveragePool": 1},
        "would-cost-more",
    ),
    Row(
        "strided 1x1 -> 3x3",
        net(conv("x", "a", bias=False, strides=[2, 2], **ONE), conv("a", "y", bias=False, **SAME)),
        {"Conv": 1},
    ),
    Row(
        "a small result that is broadcast",
        net(conv("x", "a", **SAME), conv("x", "b"), ADD, size=3),
        {"Conv": 2, "Add": 1},
        "geometry-differs",
    ),
    Row(
        "padding behind alone",
        net(
            conv("x", "a", bias=False, group=4, kernel=(3, 1), pads=[1, 0, 1, 0]),
            conv("a", "y", bias=False, group=4, kernel=(2, 1), pads=[0, 0, 1, 0]),
        ),
        {"Conv": 2},
        "padding-shift",
    ),
    Row(
        "groups 2 and 3 beside a dense one",
        net(
            conv("x", "a", 6, 6, group=2, **ONE),
            conv("x", "b", 6, 6, group=3, **ONE),
            conv("x", "c", 6, 6, **ONE),
            op("Sum", ["a", "b", "c"], "y"),
            channels=6,
        ),
        {"Conv": 1},
    ),
    Row(
        "ceil_mode before a Conv",
        net(
            op("AveragePool", ["x"], "a", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            conv("a", "y", group=4, bias=False, **ONE),
        ),
        {"Conv": 1, "AveragePool": 1},
        "geometry-differs",
    ),
    Row(
        "a kernel larger than what it reads",
        net(
            op("AveragePool", ["x"], "a", kernel_shape=[5, 5], pads=[2] * 4, count_include_pad=1),
            op("Add", ["x", "a"], "y"),
            size=2,
        ),
        {"AveragePool": 1, "Add": 1},
        "would-cost-more",
    ),
    Row(
        "a branch that is an output",
        net(conv("x", "a", **SAME), conv("x", "b", **ONE), ADD, also=("a",)),
        {"Conv": 2, "Add": 1},
        "would-cost-more",
    ),
    Row(
        "a sum that is an output",
        net(
            conv("x", "a", **SAME),
            conv("x", "b", **ONE),
            op("Add", ["a", "b"], "s"),
            op("Sigmoid", ["x"], "c"),
            op("Add", ["s", "c"], "y"),
            also=("s",),
        ),
        {"Conv": 1, "Sigmoid": 1, "Add": 1},
    ),
    Row(
        "the factors of a Gelu",
        net(conv("x", "a", **ONE), gelu("a", "g"), conv("g", "y", **ONE)),
        {"Conv": 2, "Div": 1, "Erf": 1, "Add": 1, "Mul": 2},
    ),
    Row(
        "beyond the number range",
        net(huge("x", "a"), huge("x", "b"), ADD),
        {"Conv": 2, "Add": 1},
        "number-range",
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
    assert bool(result.report.merged) == result.report.changed or result.report.folded
