"""Kernels where ONNX's cases are silent or its reference errs: literal rows and second opinions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from bnfold.ops64 import Unsupported, compute
from tests import build

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 5))
GAMMA, BETA, MEAN = RNG.normal(size=(3, 3))
VAR = RNG.uniform(0.5, 2.0, 3)
PARAMETERS = [GAMMA, BETA, MEAN, VAR]


def row(value):
    return value.reshape(1, -1, 1, 1)


NORMAL = (X - row(MEAN)) / np.sqrt(row(VAR) + 1e-3) * row(GAMMA) + row(BETA)


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 21])
def test_batch_norm_of_every_opset(opset):
    (y,) = compute("BatchNormalization", opset, [X, *PARAMETERS], {"epsilon": 1e-3})
    np.testing.assert_allclose(y, NORMAL, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("opset", [7, 8])
def test_batch_norm_per_position(opset):
    shape = (3, 4, 5)
    given = [RNG.normal(size=shape) for _ in range(3)] + [RNG.uniform(0.5, 2, shape)]
    (y,) = compute("BatchNormalization", opset, [X, *given], {"spatial": 0, "epsilon": 1e-3})
    want = (X - given[2]) / np.sqrt(given[3] + 1e-3) * given[0] + given[1]
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("opset", "attributes", "outputs"),
    [(7, {}, 5), (9, {}, 5), (14, {"training_mode": 1}, 3), (15, {"training_mode": 1}, 3)],
)
def test_batch_norm_trains(opset, attributes, outputs):
    got = compute("BatchNormalization", opset, [X, *PARAMETERS], attributes, outputs)
    mean, var = X.mean(axis=(0, 2, 3)), X.var(axis=(0, 2, 3))
    want = (X - row(mean)) / np.sqrt(row(var) + 1e-5) * row(GAMMA) + row(BETA)
    assert len(got) == outputs
    np.testing.assert_allclose(got[0], want, rtol=1e-12)
    np.testing.assert_allclose(got[1], 0.9 * MEAN + 0.1 * mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got[2], 0.9 * VAR + 0.1 * var, rtol=1e-12, atol=1e-13)


def test_erf_is_exact():
    x = np.concatenate([np.linspace(-7, 7, 20001), [0.0, -0.0, np.inf, -np.inf]])
    (y,) = compute("Erf", 13, [x], {})
    np.testing.assert_allclose(y, [math.erf(v) for v in x], rtol=1e-15, atol=1e-300)


CONV = [
    # (input, weight, attributes): strides, dilations, pads that differ, groups, auto_pad, 1-3D
    ((2, 4, 11), (6, 2, 3), {"group": 2, "strides": [2], "pads": [2, 0], "dilations": [2]}),
    ((1, 3, 9, 8), (5, 3, 3, 2), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ((1, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 6, 9, 8), (12, 1, 3, 3), {"group": 6, "auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    ((1, 20, 7, 7), (4, 20, 3, 3), {"auto_pad": "VALID"}),
    ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2), {"dilations": [1, 2, 1], "pads": [0, 1, 1, 1, 0, 0]}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), CONV)
def test_conv_is_its_definition(x, w, attributes):
    x, w = RNG.normal(size=x), RNG.normal(size=w)
    bias = RNG.normal(size=w.shape[0])
    (y,) = compute("Conv", 11, [x, w, bias], attributes)
    node = build.node("Conv", ["x", "w", "b"], "y", **attributes)
    inputs = [build.value(n, a.shape, build.DOUBLE) for n, a in zip("xwb", (x, w, bias))]  # noqa: B905
    model = build.make_model([node], inputs, [build.value("y", None, build.DOUBLE)])
    (want,) = ReferenceEvaluator(model).run(None, {"x": x, "w": w, "b": bias})
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)


TRANSPOSED = [
    ((2, 4, 5), (4, 3, 3), {"group": 2, "strides": [2], "pads": [1, 0]}),
    ((1, 4, 5, 4), (4, 1, 3, 2), {"group": 4, "strides": [2, 3], "dilations": [2, 1]}),
    ((1, 6, 5, 4), (6, 2, 3, 3), {"group": 3, "strides": [2, 2], "output_padding": [1, 0]}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 2, 5, 4), (2, 3, 3, 3), {"strides": [3, 2], "output_shape": [14, 8]}),
    ((1, 2, 3, 2, 4), (2, 2, 2, 3, 2), {"strides": [2, 1, 2], "pads": [0, 1, 0, 1, 1, 0]}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), TRANSPOSED)
def test_conv_transpose_is_the_adjoint_that_onnxruntime_computes(x, w, attributes):
    ort = pytest.importorskip("onnxruntime")
    x, w = RNG.normal(size=x), RNG.normal(size=w)
    node = build.node("ConvTranspose", ["x", "w"], "y", **attributes)
    inputs = [build.value("x", x.shape), build.value("w", w.shape)]
    model = build.make_model([node], inputs, [build.value("y", [None] * x.ndim)])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x.astype(np.float32), "w": w.astype(np.float32)})
    (y,) = compute("ConvTranspose", 11, [x, w], attributes)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


ROWS = [
    # op, opset, inputs, attributes, output
    ("Add", 6, [np.zeros((1, 2, 3)), np.array([1.0, 2.0])],
     {"axis": 1, "broadcast": 1}, [[[1.0] * 3, [2.0] * 3]]),
    ("Cast", 13, [np.array([1 + 2**-12, 70000.0])], {"to": 10}, [1.0, np.inf]),
    ("Cast", 13, [np.array([1.9, -1.9])], {"to": 7}, [1, -1]),
    ("Div", 14, [np.array([7, -7, 7]), np.array([2, 2, -2])], {}, [3, -3, -3]),
    ("Pad", 13, [np.arange(4.0), np.array([-1, 2])], {"mode": "edge"}, [1, 2, 3, 3, 3]),
    ("Pad", 13, [np.arange(4.0), np.array([1, -2]), np.array(9.0)], {}, [9, 0, 1]),
    ("Pad", 19, [np.arange(3.0), np.array([2, 1])], {"mode": "wrap"}, [1, 2, 0, 1, 2, 0]),
    ("Reshape", 14, [np.zeros((2, 0, 3)), np.array([0, 0, 3])], {}, np.zeros((2, 0, 3))),
    ("Reshape", 5, [np.arange(6.0).reshape(2, 3), np.array([0, -1])], {}, [[0, 1, 2], [3, 4, 5]]),
    ("Slice", 9, [np.arange(6)], {"starts": [-3], "ends": [9999], "axes": [0]}, [3, 4, 5]),
    ("Slice", 13, [np.arange(6), *map(np.array, ([4], [-9999], [0], [-2]))], {}, [4, 2, 0]),
    ("Softmax", 11, [np.zeros((2, 2, 2))], {"axis": 1}, np.full((2, 2, 2), 0.25)),
    ("Softmax", 13, [np.zeros((2, 2, 2))], {"axis": 1}, np.full((2, 2, 2), 0.5)),
    ("Squeeze", 11, [np.zeros((1, 2, 1))], {"axes": [0]}, np.zeros((2, 1))),
    ("Squeeze", 13, [np.zeros((1, 2, 1)), np.array([-1])], {}, np.zeros((1, 2))),
    ("Upsample", 9, [np.array([[1.0, 2.0]]), np.array([1.0, 2.0])], {}, [[1, 1, 2, 2]]),
    ("Upsample", 7, [np.array([[1.0, 2.0]])], {"scales": [2.0, 1.0]}, [[1, 2], [1, 2]]),
    ("ReduceMean", 11, [np.arange(6.0).reshape(2, 3)], {"axes": [1], "keepdims": 0}, [1, 4]),
    ("ReduceMean", 18, [np.arange(6.0).reshape(2, 3), np.array([1])], {"keepdims": 0}, [1, 4]),
    ("DequantizeLinear", 10, [np.int8([3, 5]), np.array(0.5), np.int8(1)], {}, [1, 2]),
    ("DequantizeLinear", 13, [np.int8([[3], [5]]), np.array([0.5, 2.0]), np.int8([1, 0])],
     {"axis": 0}, [[1], [10]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "opset", "inputs", "attributes", "want"), ROWS, ids=[f"{r[0]}-{r[1]}" for r in ROWS]
)
def test_row(op, opset, inputs, attributes, want):
    got = compute(op, opset, inputs, attributes)[0]
    want = np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    assert got.dtype.kind != "f" or got.dtype == np.float64


POOLS = [
    ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1,
                     "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", {"kernel_shape": [2, 3], "strides": [2, 3], "ceil_mode": 1}),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 3], "ceil_mode": 1, "strides": [2, 2]}),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attributes"), POOLS)
def test_pools_agree_with_onnxruntime(op, attributes):
    ort = pytest.importorskip("onnxruntime")
    x = RNG.normal(size=(1, 2, 10, 9)).astype(np.float32)
    node = build.node(op, ["x"], "y", **attributes)
    model = build.make_model([node], [build.value("x", x.shape)], [build.value("y", [None] * 4)])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x})
    np.testing.assert_allclose(compute(op, 17, [x], attributes)[0], want, rtol=1e-6, atol=1e-6)


def test_cast_like_needs_the_type_of_a_float():
    x = np.array([1 + 2**-12])
    with pytest.raises(Unsupported, match="CastLike"):
        compute("CastLike", 15, [x, x], {})
    assert compute("CastLike", 15, [x, x], {}, types=(1, 10))[0] == 1.0
    assert compute("CastLike", 15, [x, np.array([1])], {})[0].dtype == np.int64


def test_cast_to_the_type_it_came_from_keeps_every_digit():
    x = np.array([1.0 / 3.0])
    assert compute("Cast", 13, [x], {"to": 1}, types=(1,))[0] == x
    assert compute("Cast", 13, [x], {"to": 1})[0] == np.float32(1.0 / 3.0)


def test_what_nothing_computes_is_unsupported():
    for op in ("NoSuchOperator", "RandomNormal"):
        with pytest.raises(Unsupported, match=op):
            compute(op, 17, [], {"shape": [2]})


def test_every_operator_has_one_kernel() -> None:
    from bnfold.ops64.compute import FAMILIES, family, kernels

    assert sum(len(family(name)) for name in FAMILIES) == len(kernels())
