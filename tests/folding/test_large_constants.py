"""Constants too large to be kept once read: they are read again when written."""

import numpy as np
from onnx import helper

import bnfold
from tests.build import make_model, tensor
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
