"""A BatchNorm that stays, with parameters that a raw export computes beside an activation."""

from __future__ import annotations

import numpy as np
import onnx

import bnfold
from tests.build import FLOAT, make_model, node, randn, tensor, value
from tests.oracle import assert_equivalent

RNG = np.random.default_rng(3)


def raw(*, folds: bool) -> onnx.ModelProto:
    """Relu -> BN -> Relu, its gamma and beta as torch's exporter writes `affine=False`."""
    nodes = [
        node("Relu", ["in"], "x"),
        node("CastLike", ["one", "x"], "one.t"),
        node("Shape", ["x"], "channels", start=1, end=2),
        node("Expand", ["one.t", "channels"], "gamma"),
        node("CastLike", ["zero", "x"], "zero.t"),
        node("Shape", ["x"], "channels2", start=1, end=2),
        node("Expand", ["zero.t", "channels2"], "beta"),
        node("BatchNormalization", ["x", "gamma", "beta", "mean", "var"], "stays"),
        node("Sigmoid", ["stays"], "s"),
        node("Conv", ["s", "w"], "c"),
    ]
    read = ["c", "g", "b", "m", "v"]
    nodes.append(node("BatchNormalization", read, "y") if folds else node("Sigmoid", read[:1], "y"))
    held = [tensor("one", np.float64(1)), tensor("zero", np.float64(0))]
    held.append(tensor("w", randn(RNG, 4, 4, 1, 1)))
    for name in ("mean", "g", "b", "m"):
        held.append(tensor(name, randn(RNG, 4)))
    held += [tensor(name, RNG.uniform(0.5, 2, 4).astype(np.float32)) for name in ("var", "v")]
    return make_model(nodes, [value("in", ["N", 4, "H", "W"], FLOAT)], ["y"], held, opset=18)


def test_its_parameters_are_written() -> None:
    model = raw(folds=True)
    result = bnfold.fold(model)
    ops = [n.op_type for n in result.model.graph.node]
    assert ops == ["Relu", "BatchNormalization", "Sigmoid", "Conv"]
    held = {i.name: onnx.numpy_helper.to_array(i) for i in result.model.graph.initializer}
    gamma, beta = result.model.graph.node[1].input[1:3]
    assert held[gamma].dtype == np.float32
    np.testing.assert_array_equal(held[gamma], np.ones(4))
    np.testing.assert_array_equal(held[beta], np.zeros(4))
    assert_equivalent(model, result.model, sizes={"H": 3, "W": 5})
    assert not bnfold.fold(result.model).report.changed


def test_where_nothing_folds_the_graph_stays() -> None:
    model = raw(folds=False)
    assert bnfold.fold(model).model.graph == model.graph
