"""Constants too large to be kept once read: they are read again when written."""

import numpy as np
import pytest
from onnx import helper

import bnfold
from tests.build import batchnorm, ints, make_model, node, randn, tensor, value
from tests.oracle import assert_equivalent


def _norm(x: str, y: str, channels: int, rng: np.random.Generator):
    drawn = {
        "gamma": rng.uniform(0.5, 1.5, channels),
        "beta": rng.normal(size=channels),
        "mean": rng.normal(size=channels),
        "var": rng.uniform(0.5, 2.0, channels),
    }
    named = {f"{y}.{kind}": values.astype(np.float32) for kind, values in drawn.items()}
    node = helper.make_node("BatchNormalization", [x, *named], [y])
    return node, [tensor(name, array) for name, array in named.items()]


def test_two_norms_behind_one_large_weight():
    rng = np.random.default_rng(0)
    weight = tensor("w", rng.normal(size=(48, 48, 3, 3)).astype(np.float32))
    first, first_parameters = _norm("c1", "a", 48, rng)
    second, second_parameters = _norm("c2", "b", 48, rng)
    model = make_model(
        [
            helper.make_node("Conv", ["x", "w"], ["c1"]),
            helper.make_node("Conv", ["x", "w"], ["c2"]),
            first,
            second,
        ],
        [helper.make_tensor_value_info("x", 1, ["n", 48, 5, 5])],
        [helper.make_tensor_value_info(n, 1, ["n", 48, 3, 3]) for n in ("a", "b")],
        [weight, *first_parameters, *second_parameters],
    )
    result = bnfold.fold(model)
    assert result.report.after.batchnorms == 0
    assert_equivalent(model, result.model)


@pytest.mark.parametrize("stated", [False, True], ids=["by shape", "by sizes"])
def test_an_extent_that_no_tensor_has_is_unknown(stated):
    """Maps side by side along such an axis would fill the machine before anything is refused."""
    rng = np.random.default_rng(0)
    sizes = [2**31 - 2, 2]
    norms, parameters = zip(*(batchnorm(f"s{k}", f"b{k}", 4, rng) for k in range(2)), strict=True)
    split = node("Split", ["c", "sizes"] if stated else ["c"], ["s0", "s1"], axis=2)
    shapes = [["n", 4, None, 4]] * 2 if stated else [["n", 4, size, 4] for size in sizes]
    model = make_model(
        [node("Conv", ["x", "w"], "c"), split, *norms],
        [value("x", ["n", 3, None, 6])],
        [value(f"b{k}", shape) for k, shape in enumerate(shapes)],
        [
            tensor("w", randn(rng, 4, 3, 3, 3)),
            ints("sizes", *sizes),
            *parameters[0],
            *parameters[1],
        ],
    )
    report = bnfold.inspect(model)
    assert [left.code for left in report.remaining] == ["shape-unknown"] * 2
