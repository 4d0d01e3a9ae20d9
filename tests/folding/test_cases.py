"""Each row of `cases/`: folded whole or for a stated reason, and in either case equal."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.build import BFLOAT16, FLOAT16
from tests.folding.cases.case import Case
from tests.folding.verdict import assert_claim
from tests.oracle import evaluate, feeds_for, raised

FILES = sorted(p.stem for p in Path(__file__).with_name("cases").glob("*.py"))
MODULES = [importlib.import_module(f"tests.folding.cases.{f}") for f in FILES if f != "case"]
CASES: list[Case] = [row for module in MODULES for row in module.ROWS]
every_case = pytest.mark.parametrize("row", CASES, ids=[row.id for row in CASES])


def test_ids_are_unique() -> None:
    ids = [row.id for row in CASES]
    assert sorted(set(ids)) == sorted(ids)


@every_case
def test_row_is_a_model(row: Case) -> None:
    """The checker takes it, and ONNX Runtime, where it has the kernels, sees what we see."""
    ort = pytest.importorskip("onnxruntime")
    if not row.flawed:
        onnx.checker.check_model(row.model, full_check=True)
    feeds = row.feeds or feeds_for(row.model, sizes=row.sizes)
    want = evaluate(raised(row.model), feeds)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(
            row.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as refusal:
        pytest.skip(f"ONNX Runtime: {str(refusal)[:80]}")
    kinds = {i.name: i.type.tensor_type.elem_type for i in row.model.graph.input}
    cast = {
        k: np.asarray(v).astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[k]))
        for k, v in feeds.items()
    }
    halves = any(t.data_type in (FLOAT16, BFLOAT16) for t in row.model.graph.initializer)
    names = [o.name for o in row.model.graph.output]
    for name, got in zip(names, session.run(names, cast), strict=True):
        true, near = want[name], 2e-2 if halves else 2e-4
        assert got.shape == true.shape
        # past float32's range, and behind an infinity, the formula decides, not the function
        both = np.isfinite(got.astype(true.dtype)) & (np.abs(true) < 1e38)
        true, got = true[both], got[both].astype(true.dtype)
        reach = np.abs(true).max(initial=0) if true.dtype.kind == "f" else 0
        np.testing.assert_allclose(got, true, rtol=near, atol=near * reach)


@every_case
def test_row_folds(row: Case) -> None:
    assert_claim(row)
