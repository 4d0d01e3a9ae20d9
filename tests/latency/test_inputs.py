"""Sizes of inputs: what is fixed, what the batch decides, what the user must say."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from bnfold.errors import ModelError, UsageError
from bnfold.latency.inputs import Input, arrays, batch_of, overrides, resolve, signature
from tests.build import FLOAT, INT64, make_model, node, tensor, value

F = TensorProto.FLOAT
IMAGE = Input("x", F, ("N", 3, 8, 8))
OPEN = Input("x", F, (None, 3, None, None))
WORDS = (Input("ids", TensorProto.INT64, ("batch", "seq")), Input("h", F, (2, "batch", 4)))


@pytest.mark.parametrize(
    ("given", "batch", "shapes", "want"),
    [
        pytest.param([IMAGE], 4, None, {"x": (4, 3, 8, 8)}, id="symbolic-batch"),
        pytest.param([IMAGE], 2, {"x": (2, 3, 8, 8)}, {"x": (2, 3, 8, 8)}, id="whole-shape"),
        pytest.param([OPEN], 4, {"x": (3, 5, 6)}, {"x": (4, 3, 5, 6)}, id="shape-without-batch"),
        pytest.param(WORDS, 3, {"seq": (7,)}, {"ids": (3, 7), "h": (2, 3, 4)}, id="by-symbol"),
        pytest.param(
            WORDS, 3, {"ids": (7,)}, {"ids": (3, 7), "h": (2, 3, 4)}, id="batch-elsewhere"
        ),
        pytest.param([Input("s", F, ())], 9, None, {"s": ()}, id="scalar"),
        pytest.param([Input("x", F, (1, 2))], 1, None, {"x": (1, 2)}, id="all-fixed"),
    ],
)
def test_resolved(given, batch, shapes, want):
    assert resolve(given, batch, shapes) == want


@pytest.mark.parametrize(
    ("given", "batch", "shapes", "says"),
    [
        pytest.param([OPEN], 1, None, "no fixed size at axis 2", id="open-axis"),
        pytest.param(WORDS, 1, None, "axis 1 (seq)", id="open-symbol"),
        pytest.param([IMAGE], 1, {"y": (1,)}, "no input 'y'", id="unknown-name"),
        pytest.param([IMAGE], 1, {"x": (8, 8)}, "has 4 axes", id="wrong-rank"),
        pytest.param([IMAGE], 1, {"x": (1, 4, 8, 8)}, "is 3, not 4", id="fixed-axis"),
        pytest.param([IMAGE], 1, {"x": (2, 3, 8, 8)}, "the batch is 1", id="two-batches"),
        pytest.param([OPEN], 1, {"x": (3, 0, 6)}, "not 0", id="zero"),
        pytest.param(WORDS, 1, {"seq": (7, 8)}, "with one value", id="symbol-with-two-sizes"),
    ],
)
def test_refused(given, batch, shapes, says):
    with pytest.raises(UsageError) as caught:
        resolve(given, batch, shapes)
    assert says in str(caught.value)


def test_the_hint_can_be_pasted():
    with pytest.raises(UsageError) as caught:
        resolve([OPEN], 8)
    assert caught.value.hint == "give its sizes: --shape x=8,3,?,?"


def test_initializers_are_not_fed():
    model = make_model(
        [node("Add", ["x", "w"], "y")],
        [value("x", ["N", -1])],
        [value("y", None)],
        [tensor("w", [1.0])],
        ir=3,
        opset=9,
    )
    assert signature(model) == (Input("x", F, ("N", None)),)


def test_an_input_without_rank_is_refused():
    model = make_model([node("Relu", ["x"], "y")], [value("x", None)], [value("y", None)])
    with pytest.raises(ModelError, match="'x' is no tensor of known rank"):
        signature(model)


def test_values_are_seeded_and_typed():
    feeds = [("x", FLOAT, [2, 3]), ("i", INT64, [4]), ("h", TensorProto.BFLOAT16, [1])]
    one, two = arrays(feeds, 0), arrays(feeds, 0)
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert [str(a.dtype) for a in one.values()] == ["float32", "int64", "bfloat16"]
    assert not np.array_equal(one["x"], arrays(feeds, 1)["x"])
    assert set(np.unique(one["i"])) <= {0, 1}


def test_overrides_and_items():
    sizes = resolve(WORDS, 3, {"seq": (7,)})
    assert overrides(WORDS, sizes) == {"batch": 3, "seq": 7}
    assert batch_of(WORDS, sizes) == 3
    assert batch_of([], {}) == 1
