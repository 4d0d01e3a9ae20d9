"""Who would be accused is asked again on inputs within a rounding of one, and a fault stays one."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

import bnfold
from bnfold.verification import verify
from bnfold.verification.cases import Case
from bnfold.verification.neighbours import COUNT, neighbours
from tests.net import Net


def test_each_number_moves_by_its_rounding() -> None:
    feeds = {
        "x": np.linspace(-3, 3, 50, dtype=np.float32),
        "h": np.ones(5, np.float16),
        "k": np.arange(4),
    }
    moved = list(neighbours(Case("given", feeds, given=True), seed=3))
    assert len(moved) == COUNT == len({one.feeds["x"].tobytes() for one in moved})
    for one in moved:
        assert one.given
        assert one.feeds["k"] is feeds["k"]
        for name in ("x", "h"):
            unit = np.finfo(feeds[name].dtype).eps
            apart = np.abs(one.feeds[name].astype(float) / feeds[name].astype(float) - 1)
            assert one.feeds[name].dtype == feeds[name].dtype
            assert 0 < apart.max() <= 2 * unit


def pair(by: float) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Conv -> BatchNorm, and its fold with every weight `by` too large, record taken away."""
    net = Net("asked-again")
    model = net.out(net.bn(net.conv(net.input((1, 3, 8, 8)), 3, 4), 4)).model()
    folded = bnfold.fold(model).model
    del folded.metadata_props[:]
    weight = next(t for t in folded.graph.initializer if len(t.dims) == 4)
    value = numpy_helper.to_array(weight) * np.float32(1 + by)
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    return model, folded


def test_a_small_fault_stays_one() -> None:
    """Near the limit, so asked again: 12 further inputs let nothing through."""
    verdict = verify(*pair(4e-6), batches=(1,))
    gate = verdict.gate("float64")
    assert gate is not None
    assert gate.value is not None
    assert 8 < gate.value < 1000
    assert not verdict.ok
    assert any("asked again around" in note for note in verdict.notes)


def test_who_holds_is_not_asked_again() -> None:
    verdict = verify(*pair(0.0), batches=(1,))
    assert verdict.ok, verdict.sentence
    assert not any("asked again" in note for note in verdict.notes)
