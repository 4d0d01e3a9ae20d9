"""The bound of a golden answer covers what ONNX Runtime's own optimiser adds."""

from __future__ import annotations

import numpy as np
import pytest

from bnfold.deployment import golden
from bnfold.verification.cases import Case
from bnfold.verification.gates import RUNTIME_LIMIT
from bnfold.verification.subject import subject
from tests.build import make_model, node, tensor, value


class _Runtime:
    """One whose answers are off by a stated number at each level."""

    def __init__(self, **off: float) -> None:
        self.off, self.open = off, set()

    def load(self, of, level):
        self.open.add(level)
        return level

    def run(self, key, feeds):
        return {"y": feeds["x"] + np.float32(1) + np.float32(self.off[key])}

    def drop(self, key):
        self.open.remove(key)


@pytest.mark.parametrize(("none", "all_"), [(0.5, 0.01), (0.01, 0.5)])
def test_the_level_that_errs_more_sets_the_bound(tmp_path, none, all_):
    model = make_model(
        [node("Add", ["x", "c"], "y")], [value("x", [4])], [value("y", [4])], [tensor("c", [1.0])]
    )
    runtime = _Runtime(none=none, all=all_)
    case = Case("unit x1", {"x": np.arange(4, dtype=np.float32)})
    with subject(model, "original", tmp_path) as original:
        (found,) = golden.answers(original, [case], runtime)
    assert found.outputs["y"].tolist() == [1, 2, 3, 4]
    assert found.bounds["y"] == pytest.approx(RUNTIME_LIMIT * 0.5, rel=1e-5)
    assert not runtime.open
