"""The judge is judged: planted faults that it must see, and right folds that it must pass."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.build import make_model, node, tensor, value
from tests.net import Net
from tests.oracle import (
    affine_nodes,
    assert_equivalent,
    batchnorms,
    evaluate,
    feeds_for,
    granted_biases,
    left,
    raised,
)

Array = NDArray[np.float64]


def parts(kind: str, group: int = 1) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Conv or ConvTranspose with bias -> BatchNorm, and what a fold needs of it."""
    net = Net(f"oracle-{kind}-{group}")
    grow = net.conv if kind == "Conv" else net.deconv
    net.out(net.bn(grow(net.input(("N", 4, 6, 6)), 4, 4, group=group, pads=[1] * 4), 4, out="y"))
    data = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in net.initializers}
    w, b = list(data.values())[:2]
    gamma, beta, mean, var = list(data.values())[2:]
    s = gamma / np.sqrt(var + float(np.float32(1e-5)))
    return net.model(), {"w": w, "b": b, "s": s, "t": beta - mean * s}


def written(kind: str, w: Array, b: Array, group: int = 1) -> onnx.ModelProto:
    """The folded model that a tool would write."""
    consts = [tensor("w'", w.astype(np.float32)), tensor("b'", b.astype(np.float32))]
    made = node(kind, ["x", "w'", "b'"], "y", group=group, pads=[1] * 4)
    return make_model([made], [value("x", ("N", 4, 6, 6))], ["y"], consts)


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_right_fold_passes(kind: str) -> None:
    model, p = parts(kind)
    row = p["s"].reshape((-1, 1, 1, 1) if kind == "Conv" else (1, -1, 1, 1))
    folded = written(kind, p["w"] * row, p["b"] * p["s"] + p["t"])
    assert_equivalent(model, folded)
    assert left(model, folded) == 0
    assert left(model, model) == batchnorms(model) == 1


def test_right_fold_passes_where_a_sigmoid_vanishes() -> None:
    """Values of 1e-217 whose departures have no square; a shift that is lost is seen still."""

    def squashed(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.node.append(node("Sigmoid", ["y"], "tiny"))
        model.graph.output[0].name = "tiny"
        return model

    model, p = parts("Conv")
    w, b = p["w"] * _column(p["s"]), p["b"] * p["s"] + p["t"]
    low = np.full(4, 500.0)
    beta = next(i for i in model.graph.initializer if i.name == model.graph.node[1].input[2])
    beta.CopyFrom(tensor(beta.name, numpy_helper.to_array(beta) - low.astype(np.float32)))
    source = squashed(model)
    assert_equivalent(source, squashed(written("Conv", w, b - low)))
    with pytest.raises(AssertionError, match="off by"):
        assert_equivalent(source, squashed(written("Conv", w, b - low + 0.01)))


def _column(s: Array) -> Array:
    return s.reshape(-1, 1, 1, 1)


FAULTS = {
    "shift-dropped": lambda p: (p["w"] * _column(p["s"]), p["b"] * p["s"]),
    "bias-unscaled": lambda p: (p["w"] * _column(p["s"]), p["b"] + p["t"]),
    "weight-unscaled": lambda p: (p["w"], p["b"] * p["s"] + p["t"]),
    "wrong-axis": lambda p: (p["w"] * p["s"].reshape(1, -1, 1, 1), p["b"] * p["s"] + p["t"]),
    "sign": lambda p: (p["w"] * _column(np.abs(p["s"])), p["b"] * p["s"] + p["t"]),
    "weight-1e-5-off": lambda p: (p["w"] * _column(p["s"]) * (1 + 1e-5), p["b"] * p["s"] + p["t"]),
    "shift-1e-5-off": lambda p: (p["w"] * _column(p["s"]), p["b"] * p["s"] + p["t"] * (1 + 1e-5)),
    "one-channel-1e-5-off": lambda p: (
        p["w"] * _column(p["s"] * [1, 1, 1 + 1e-5, 1]), p["b"] * p["s"] + p["t"],
    ),
    "eps-forgotten": lambda p: (p["w"] * _column(p["s"] * (1 + 2e-5)), p["b"] * p["s"] + p["t"]),
    "half-constants": lambda p: (
        (p["w"] * _column(p["s"])).astype(np.float16).astype(np.float64), p["b"] * p["s"] + p["t"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_seen(fault: str) -> None:
    model, p = parts("Conv")
    with pytest.raises(AssertionError, match="off by"):
        assert_equivalent(model, written("Conv", *FAULTS[fault](p)))


def test_integers_are_free_at_a_tie_alone() -> None:
    """Channels 0 and 1 tie up to rounding, 2 and 3 are far apart: their order must stay."""
    gamma = np.array([0.7, 1.3, 0.5, 0.4], np.float32)
    scale = gamma / np.sqrt(1 + np.float64(np.float32(1e-5)))
    w = np.array([0.3, 0.3 * scale[0] / scale[1], 1, 1]).astype(np.float32)

    def ranked(weights: Array, *norms: NDArray[np.float32]) -> onnx.ModelProto:
        net = Net("ranked")
        y = net.op("Conv", net.input(("N", 1, 4, 4)), net.init(weights.reshape(4, 1, 1, 1)))
        for row in norms:
            zero, one = net.init(np.zeros(4)), net.init(np.ones(4))
            y = net.op("BatchNormalization", y, net.init(row), zero, zero, one)
        net.nodes.append(node("TopK", [y, net.ints(4)], ["values", "order"], axis=1))
        return net.out(value("order", ("N", 4, 4, 4), onnx.TensorProto.INT64)).model()

    source, right = ranked(w.astype(np.float64), gamma), ranked(w * scale)
    feeds = feeds_for(source)
    orders = [evaluate(raised(m), feeds)["order"] for m in (source, right)]
    assert (orders[0] != orders[1]).any(), "the fold must turn the tie"
    assert_equivalent(source, right)
    with pytest.raises(AssertionError, match="integers differ"):
        assert_equivalent(source, ranked((w * scale)[[0, 1, 3, 2]]))


def test_grouped_transposed_axis_is_seen() -> None:
    """Cin == Cout: the wrong axis of the weight has the right length."""
    model, p = parts("ConvTranspose", group=2)
    w = p["w"].reshape(2, 2, 2, 3, 3) * p["s"].reshape(2, 1, 2, 1, 1)
    b = p["b"] * p["s"] + p["t"]
    assert_equivalent(model, written("ConvTranspose", w.reshape(4, 2, 3, 3), b, 2))
    wrong = p["w"] * p["s"].reshape(-1, 1, 1, 1)
    with pytest.raises(AssertionError, match="off by"):
        assert_equivalent(model, written("ConvTranspose", wrong, b, 2))


def test_rewriting_is_no_fold() -> None:
    """A BatchNorm as Mul and Add counts as left, and a bias Add too that is no MatMul's."""
    model, p = parts("Conv")
    net = Net("rewritten")
    x = net.input(("N", 4, 6, 6))
    y = net.op("Conv", x, net.init(p["w"]), net.init(p["b"]), pads=[1] * 4)
    y = net.op("Mul", y, net.init(_column(p["s"])[:, 0]))
    net.out(net.op("Add", y, net.init(_column(p["t"])[:, 0]), out="y"))
    rewritten = net.model()
    assert_equivalent(model, rewritten)
    assert affine_nodes(rewritten) == left(model, rewritten) == 2


def test_bias_of_a_product_is_granted() -> None:
    net = Net("product")
    y = net.op("Transpose", net.matmul(net.input(("N", 5, 3)), 3, 4), perm=[0, 2, 1])
    source = net.out(net.bn(y, 4)).model()
    net = Net("product")
    y = net.op("Add", net.matmul(net.input(("N", 5, 3)), 3, 4), net.weight(4))
    assert left(source, net.out(y).model()) == 0
    net = Net("flat")
    source = net.out(net.bn(net.matmul(net.input(("N", 3)), 3, 4), 4)).model()
    net = Net("flat")
    y = net.op("Add", net.matmul(net.input(("N", 3)), 3, 4), net.weight(4))
    assert left(source, net.out(y).model()) == 1


def test_add_of_one_reader_is_no_bias() -> None:
    """x W + k beside a bare x W: a fold that gives the MatMul a bias of its own adds one Add."""

    def shared(*, fold: bool) -> onnx.ModelProto:
        net = Net("shared")
        x = net.input(("N", 5, 3))
        y = net.matmul(x if fold else net.bn(x, 5, shift=False), 3, 4)
        y = net.op("Add", y, net.weight(5, 1)) if fold else y
        return net.out(net.op("Mul", net.op("Add", y, net.weight(1)), y)).model()

    assert granted_biases(shared(fold=False), shared(fold=True)) == 1
    assert left(shared(fold=False), shared(fold=True)) == 0


def test_override_that_is_ignored_is_seen() -> None:
    """Folding a weight that callers may feed is wrong as soon as one feeds it."""
    model, p = parts("Conv")
    model.graph.input.extend(value(t.name, list(t.dims)) for t in model.graph.initializer)
    folded = written("Conv", p["w"] * _column(p["s"]), p["b"] * p["s"] + p["t"])
    folded.graph.input.extend(model.graph.input[1:])
    with pytest.raises(AssertionError, match="off by"):
        assert_equivalent(model, folded)


def test_raised_model_is_double_throughout() -> None:
    net = Net("raise")
    y = net.op("Add", net.input(("N", 3)), net.op("Constant", value_float=0.1))
    y = net.op("Cast", net.op("Cast", y, to=10), to=1)
    y = net.op("Add", y, net.op("ConstantOfShape", net.ints(3)))
    got = evaluate(raised(net.out(y).model()), {"x": np.full((1, 3), 1e-12)})
    assert all(v.dtype == np.float64 for v in got.values())
    np.testing.assert_array_equal(got[y], np.full((1, 3), 1e-12 + float(np.float32(0.1))))
