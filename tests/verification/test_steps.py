"""Which single fold breaks it: a faulty rule is planted, its fold is named in log2 steps."""

from __future__ import annotations

import onnx
import pytest

import bnfold
from bnfold.folding.report import Options
from bnfold.folding.rules import PULL
from bnfold.verification import bisect
from bnfold.verification.steps import first_bad
from tests.verification import nets

pytest.importorskip("onnxruntime")


@pytest.fixture
def model() -> onnx.ModelProto:
    return nets.model(nets.pair().original, norms=True)


def test_a_sound_engine_breaks_nothing(model: onnx.ModelProto) -> None:
    found = bisect(model, batches=(1,))
    assert not found.found
    assert found.tried == 1
    assert "4 folds together" in found.sentence


def _lose_shifts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shifts get lost wherever a Conv of two groups takes them."""
    right = PULL["Conv"]

    def wrong(node, m):
        return right(node, m.scale_part() if node.attributes.get("group") == 2 else m)

    monkeypatch.setitem(PULL, "Conv", wrong)


def test_a_faulty_engine_does_not_vouch_for_itself(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fold again has the same fault, so the constants agree: the graphs must tell."""
    _lose_shifts(monkeypatch)
    folded = bnfold.fold(model).model
    verdict = bnfold.verify(model, folded, batches=(1,))
    assert verdict.gates[0].ok
    assert not verdict.ok


def test_the_fold_by_a_faulty_rule_is_named(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of the four folds is the one into a Conv of two groups."""
    _lose_shifts(monkeypatch)
    found = bisect(model, batches=(1,))
    labels = [one.map for one in bnfold.fold(model, Options()).report.folded]
    norms = [k for k, n in enumerate(model.graph.node) if n.op_type == "BatchNormalization"]
    assert found.fold is not None
    assert found.fold.map == labels[-1]
    assert found.fold.map.startswith(f"main:{norms[-1]}")
    assert "by itself" in found.sentence
    assert found.tried <= 4  # 4, 2, 3, and the last one alone


def test_a_tolerance_of_ones_own_blames_a_fold(model: onnx.ModelProto) -> None:
    found = bisect(model, batches=(1,), rtol=0.0, atol=1e-12)
    assert found.fold is not None
    assert found.tried <= 4


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_log2_steps(count: int) -> None:
    for bad in range(1, count + 1):
        asked: list[int] = []

        def breaks(k: int, bad: int = bad, asked: list[int] = asked) -> bool:
            asked.append(k)
            return k >= bad

        assert first_bad(count, breaks) == bad
        assert len(asked) <= 1 + count.bit_length()
    assert first_bad(count, lambda _: False) is None
