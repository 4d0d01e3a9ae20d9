"""Borders of constants, as diverse-branch and edge-oriented blocks write their padding."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

import bnfold
from tests.build import ints, node, tensor
from tests.merging.fuzz import REPARAM, judge
from tests.merging.parts import RNG, Parts, conv, net, norm, op
from tests.merging.test_rows import ADD, ONE, SAME, Row

SIZE, CHANNELS = 8, 4
BIAS = RNG.standard_normal(CHANNELS).astype(np.float32)
EDGE = np.ones((2, CHANNELS, SIZE + 2, SIZE + 2), bool)
EDGE[:, :, 1:-1, 1:-1] = False
ALL = BIAS.reshape(1, -1, 1, 1) * np.ones(EDGE.shape, np.float32)


def inner(x: str, y: str, **attrs: object) -> Parts:
    """A Conv whose bias is known."""
    made, (weight, _) = conv(x, y, **{**ONE, **attrs})
    return made, [weight, tensor(f"{y}.b", BIAS)]


def pad(x: str, y: str) -> Parts:
    return [node("Pad", [x, f"{y}.pads"], y)], [ints(f"{y}.pads", 0, 0, 1, 1, 0, 0, 1, 1)]


def scatter(x: str, y: str, where: np.ndarray, value: np.ndarray = ALL) -> Parts:
    """Zeros around x, and the values where the mask says so."""
    made, pads = pad(x, f"{y}.padded")
    names = [f"{y}.padded", f"{y}.where", f"{y}.what"]
    held = [tensor(names[1], np.argwhere(where)), tensor(names[2], value[where])]
    return [*made, node("ScatterND", names, y)], [*pads, *held]


def rows(x: str, y: str) -> Parts:
    """As torch's exporter writes `p[:, :, :1] = v; p[:, :, -1:] = v` and the same for columns."""
    nodes, constants = pad(x, f"{y}0")
    for i, (perm, place) in enumerate(
        [([2, 1, 0, 3], 0), ([2, 1, 0, 3], -1), ([3, 1, 2, 0], 0), ([3, 1, 2, 0], -1)]
    ):
        what = np.transpose(ALL, perm)[:1]
        constants += [
            tensor(f"{y}{i}.i", np.array([[place]], np.int64)),
            tensor(f"{y}{i}.v", what),
        ]
        nodes += [
            node("Transpose", [f"{y}{i}"], f"{y}{i}.t", perm=perm),
            node("ScatterND", [f"{y}{i}.t", f"{y}{i}.i", f"{y}{i}.v"], f"{y}{i}.s"),
            node("Transpose", [f"{y}{i}.s"], y if i == 3 else f"{y}{i + 1}", perm=perm),
        ]
    return nodes, constants


def joined(x: str, y: str) -> Parts:
    """Rows, then columns, in front and behind."""
    row, column = ALL[:, :, :1, 1:-1], ALL[:, :, :, :1]
    made = [
        node("Concat", [f"{y}.row", x, f"{y}.row"], f"{y}.high", axis=2),
        node("Concat", [f"{y}.column", f"{y}.high", f"{y}.column"], y, axis=3),
    ]
    return made, [tensor(f"{y}.row", row), tensor(f"{y}.column", column)]


def masked(x: str, y: str) -> Parts:
    made, pads = pad(x, f"{y}.p")
    held = [tensor(f"{y}.m", EDGE[:1, :1]), tensor(f"{y}.v", ALL[:1, :, :1, :1])]
    return [*made, node("Where", [f"{y}.m", f"{y}.v", f"{y}.p"], y)], [*pads, *held]


def still(*parts: Parts, also: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The batch is known too: the border is made for it."""
    model = net(*parts, also=also)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    return model


def hole(at: tuple[int, ...]) -> np.ndarray:
    mask = EDGE.copy()
    mask[at] = False
    return mask


def moved(by: float) -> np.ndarray:
    return np.asarray(ALL * np.float32(1 + by), np.float32)


uneven = ALL.copy()
uneven[0, 1, 0, 0] += 1
BESIDE = (conv("x", "a", **SAME), conv("d", "b"), ADD)
INNER = inner("x", "c")

ROWS = [
    Row("one ScatterND", still(INNER, scatter("c", "d", EDGE), *BESIDE), {"Conv": 1}),
    Row("row by row", still(INNER, rows("c", "d"), *BESIDE), {"Conv": 1}),
    Row("Concats", still(INNER, joined("c", "d"), *BESIDE), {"Conv": 1}),
    Row("a mask", still(INNER, masked("c", "d"), *BESIDE), {"Conv": 1}),
    Row(
        "then a pool and a BatchNorm",
        still(
            INNER,
            rows("c", "d"),
            op("AveragePool", ["d"], "p", kernel_shape=[3, 3]),
            norm("p", "b"),
            conv("x", "a", **SAME),
            ADD,
        ),
        {"Conv": 1},
    ),
    Row("a chain alone", still(INNER, scatter("c", "d", EDGE), conv("d", "y")), {"Conv": 1}),
    Row(
        "values off by a rounding",
        still(INNER, scatter("c", "d", EDGE, moved(2.0**-23)), *BESIDE),
        {"Conv": 1},
    ),
    Row(
        "values off by more",
        still(INNER, scatter("c", "d", EDGE, moved(2.0**-16)), *BESIDE),
        {"Conv": 3, "Pad": 1, "ScatterND": 1, "Add": 1},
        "padding-shift",
    ),
    Row(
        "one value of its own",
        still(INNER, scatter("c", "d", EDGE, uneven), *BESIDE),
        {"Conv": 3, "Pad": 1, "ScatterND": 1, "Add": 1},
        "not-yet",
    ),
    Row(
        "one corner left zero",
        still(INNER, scatter("c", "d", hole((0, 0, 0, 0))), *BESIDE),
        {"Conv": 3, "Pad": 1, "ScatterND": 1, "Add": 1},
        "not-yet",
    ),
    Row(
        "one inner value overwritten",
        still(INNER, scatter("c", "d", EDGE | ~hole((1, 2, 4, 4))), *BESIDE),
        {"Conv": 3, "Pad": 1, "ScatterND": 1, "Add": 1},
        "not-yet",
    ),
    Row(
        "a 3x3 inside reads what lies outside",
        still(inner("x", "c", kernel=(3, 3), **SAME), scatter("c", "d", EDGE), *BESIDE),
        {"Conv": 3, "Pad": 1, "ScatterND": 1, "Add": 1},
        "padding-shift",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_row(row: Row) -> None:
    result = judge(row.model)
    left = Counter(n.op_type for n in result.model.graph.node if n.op_type != "Relu")
    assert left == row.left
    assert row.code is None or row.code in {apart.code for apart in result.report.apart}


def test_a_border_that_others_read_too_stays() -> None:
    result = judge(still(INNER, scatter("c", "d", EDGE), *BESIDE, also=("d",)))
    assert "ScatterND" in {n.op_type for n in result.model.graph.node}


def test_pads_computed_by_a_chain_that_inference_does_not_follow() -> None:
    """As the TorchScript exporter writes F.pad: a Cast of a Transpose of a Slice of a Reshape."""
    made, _ = pad("c", "d")
    chain = [
        node("Reshape", ["flat", "pairs"], "pads.r"),
        node("Slice", ["pads.r", "last", "least", "zero", "back"], "pads.s"),
        node("Transpose", ["pads.s"], "pads.t", perm=[1, 0]),
        node("Reshape", ["pads.t", "one"], "pads.u"),
        node("Cast", ["pads.u"], "d.pads", to=7),
        *made,
        node("Shape", ["d"], "size"),
        node("Expand", ["fill", "size"], "all"),
        node("Where", ["edge", "all", "d"], "e"),
    ]
    constants = [
        *(ints("flat", 1, 1, 1, 1, 0, 0, 0, 0), ints("pairs", -1, 2), ints("last", -1)),
        *(ints("least", -(2**63) + 1), ints("zero", 0), ints("back", -1), ints("one", -1)),
        *(tensor("edge", EDGE[:1, :1]), tensor("fill", ALL[:1, :, :1, :1])),
    ]
    parts = (INNER, (chain, constants), conv("e", "b"), conv("x", "a", **SAME), ADD)
    result = bnfold.fold(still(*parts), REPARAM)
    assert Counter(n.op_type for n in result.model.graph.node) == {"Relu": 2, "Conv": 1}
