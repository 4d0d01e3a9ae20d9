"""ONNX's own node test cases (the onnx package makes them), each as a whole model in float64."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bnfold.ops64 import Unsupported, evaluate

# where the case is what we do not follow, and why
NOT_FOLLOWED = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": "its expectation is printed to 4 digits",
    "test_gridsample_bicubic": "its expectation is printed to 4 digits",
    "test_roialign_aligned_false": "its expectation is printed to 4 digits",
    "test_roialign_aligned_true": "its expectation is printed to 4 digits",
    "test_dynamicquantizelinear": "a tie in float32 is none in float64",
    "test_dynamicquantizelinear_expanded": "a tie in float32 is none in float64",
    "test_resize_downsample_scales_linear_align_corners": "onnxruntime divides by the whole size",
    "test_resize_downsample_scales_cubic_align_corners": "onnxruntime divides by the whole size",
}
# element type: absolute tolerance, ten times that relative; float32 cases are float32 sums
TOLERANCE = {1: 1e-5, 10: 3e-3, 11: 1e-9, 16: 3e-2}


@pytest.fixture(scope="module")
def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return [case for case in collect_testcases(None) if case.model is not None]


def arrays(values):
    """Tensors only; sequences and optionals are None."""
    out = []
    for value in values:
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        if not isinstance(value, np.ndarray | np.generic):
            return None
        out.append(np.asarray(value))
    return out


def assert_same(got, want, declared):
    assert got.shape == want.shape
    if want.dtype.kind in "OUS":
        assert (got.astype(str) == want.astype(str)).all()
        return
    exact = want.dtype.kind in "iub"
    if exact:
        assert got.dtype == want.dtype
    atol = TOLERANCE.get(declared, 0.0 if exact else 1e-2)
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=10 * atol, atol=atol
    )


def run(case):
    """How many data sets of the case were compared."""
    compared = 0
    for inputs, outputs in case.data_sets:
        given, wanted = arrays(inputs), arrays(outputs)
        if given is None or wanted is None:
            continue
        graph = case.model.graph
        feeds = {value.name: array for value, array in zip(graph.input, given, strict=False)}
        got = evaluate(case.model, feeds)
        for value, want in zip(graph.output, wanted, strict=True):
            assert_same(got[value.name], want, value.type.tensor_type.elem_type)
        compared += 1
    return compared


def test_node_cases(cases):
    compared, unsupported, wrong = 0, [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases:
            if case.name in NOT_FOLLOWED:
                continue
            try:
                compared += run(case)
            except Unsupported as cause:
                unsupported.append(str(cause))
            except Exception as cause:
                wrong[case.name] = f"{type(cause).__name__}: {str(cause)[:200]}"
    assert not wrong, "\n".join(f"{k}: {v}" for k, v in wrong.items())
    assert compared > 1600
    ours = {name for name in unsupported if "." not in name}  # of the default domain
    assert ours <= {
        "a cast to float8e8m0",
        "Bernoulli",
        "BitCast",
        "Dropout in training mode",
        "ImageDecoder",
        "RandomUniformLike",
        "Scan",  # opset 8
    }
