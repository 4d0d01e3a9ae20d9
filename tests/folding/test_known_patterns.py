"""Constants of an activation that runtimes fuse as a whole stay where they are."""

import numpy as np
import pytest
from onnx import helper

import bnfold
from tests.build import make_model, tensor


def _gelu(order: str):
    product = {
        "half behind": [("Mul", ["x", "g"], "p"), ("Mul", ["p", "half"], "y")],
        "half before": [("Mul", ["x", "half"], "p"), ("Mul", ["p", "g"], "y")],
        "half of the gate": [("Mul", ["g", "half"], "p"), ("Mul", ["x", "p"], "y")],
    }[order]
    steps = [("Div", ["x", "root"], "d"), ("Erf", ["d"], "e"), ("Add", ["e", "one"], "g"), *product]
    nodes = [helper.make_node(op, inputs, [output]) for op, inputs, output in steps]
    nodes = [
        helper.make_node("Conv", ["i", "w"], ["x"]),
        *nodes,
        helper.make_node("Conv", ["y", "v"], ["o"]),
    ]
    rng = np.random.default_rng(2)
    weights = [tensor(n, rng.normal(size=(4, 4, 1, 1)).astype(np.float32)) for n in ("w", "v")]
    scalars = {"root": 2.0**0.5, "one": 1.0, "half": 0.5}
    return make_model(
        nodes,
        [helper.make_tensor_value_info("i", 1, ["n", 4, 5, 5])],
        [helper.make_tensor_value_info("o", 1, ["n", 4, 5, 5])],
        [*weights, *[tensor(name, np.float32(number)) for name, number in scalars.items()]],
    )


@pytest.mark.parametrize("order", ["half behind", "half before", "half of the gate"])
def test_gelu_stays_whole(order):
    model = _gelu(order)
    assert bnfold.fold(model).model == model
