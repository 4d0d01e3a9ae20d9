"""Networks as they are found in the wild, where `../shared/models` is present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import bnfold
from tests.folding.verdict import CODES
from tests.oracle import batchnorms, granted_biases, graphs, left

FOLDER = Path(__file__).parents[3] / "shared" / "models"
PATHS = sorted([*FOLDER.glob("*.onnx"), *FOLDER.glob("external/*.onnx")])
every_model = pytest.mark.parametrize(
    "path",
    PATHS or [pytest.param(None, marks=pytest.mark.skip(reason=f"no models in {FOLDER.name}"))],
    ids=lambda p: p.stem if p else "none",
)


def feeds(session: object, seed: int) -> dict[str, np.ndarray]:
    """Random inputs of a session's types and sizes."""
    rng, found = np.random.default_rng(seed), {}
    for i in session.get_inputs():  # type: ignore[attr-defined]
        free = 512 if len(i.shape) == 2 else 64  # samples of sound, or the side of an image
        dims = [d if isinstance(d, int) else (2 if a == 0 else free) for a, d in enumerate(i.shape)]
        kind = {"float": np.float32, "float16": np.float16, "int64": np.int64}[i.type[7:-1]]
        found[i.name] = rng.random(dims).astype(kind)
        if kind is np.int64:
            found[i.name] = np.full(dims, 16000, kind)
    return found


@every_model
def test_model_folds_and_stays_itself(path: Path) -> None:
    """Nothing grows, the checker still passes, and each BatchNorm is gone or has its reason."""
    source = onnx.load(path)
    result = bnfold.fold(path)
    stays = [r for r in result.report.remaining if r.kind == "batchnorm"]
    assert len(stays) == batchnorms(result.model)
    assert {r.code for r in stays} <= CODES
    assert left(source, result.model) == len(stays)
    if not source.functions:
        sizes = [sum(len(g.node) for g in graphs(m)) for m in (source, result.model)]
        assert sizes[1] <= sizes[0] + granted_biases(source, result.model)
    assert list(result.model.graph.output) == list(source.graph.output)
    again = bnfold.fold(result.model)
    assert not again.report.folded
    try:
        onnx.checker.check_model(source, full_check=True)
    except Exception:
        return
    onnx.checker.check_model(result.model, full_check=True)


@every_model
def test_model_computes_the_same(path: Path) -> None:
    """ONNX Runtime, optimisation off: as near as one rounding of each constant lets it be."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    cpu = ["CPUExecutionProvider"]
    source = ort.InferenceSession(str(path), options, providers=cpu)
    folded = bnfold.fold(path).model
    given = feeds(source, 0)
    try:
        want = source.run(None, given)
    except Exception as refusal:  # sizes and states that only the model's author knows
        pytest.skip(f"the source does not run on these inputs: {str(refusal)[:60]}")
    got = ort.InferenceSession(folded.SerializeToString(), options, providers=cpu).run(None, given)
    half = any(t.data_type == onnx.TensorProto.FLOAT16 for t in folded.graph.initializer)
    near = 3e-2 if half else 1e-3
    for a, b in zip(want, got, strict=True):
        # a saturated sigmoid moves in steps of 6e-8, however small it is
        reach = max(float(np.abs(a.astype(np.float64)).max(initial=0)), 1e-3)
        np.testing.assert_allclose(b, a, rtol=near, atol=near * reach)
