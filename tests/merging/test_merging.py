"""Products of matrices, the report, and what guards a merge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import bnfold
from tests.build import make_model, node, randn, tensor, value
from tests.merging.fuzz import REPARAM, judge
from tests.merging.parts import RNG, conv, net, norm, op

SAME = {"pads": [1, 1, 1, 1]}


def dense(shared: bool) -> onnx.ModelProto:
    """Two MatMul branches and a MatMul behind them; in the shared case one weight for both."""
    weights = [
        tensor("w", randn(RNG, 6, 5)),
        tensor("v", randn(RNG, 6, 5)),
        tensor("u", randn(RNG, 5, 3)),
    ]
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("MatMul", ["x", "w" if shared else "v"], "b"),
        node("Add", ["a", "b"], "s"),
        node("MatMul", ["s", "u"], "y"),
    ]
    return make_model(nodes, [value("x", ["N", 7, 6])], ["y"], weights)


@pytest.mark.parametrize("shared", [False, True])
def test_matmuls_become_one(shared: bool) -> None:
    result = judge(dense(shared))
    assert [n.op_type for n in result.model.graph.node] == ["MatMul"]


@pytest.fixture
def repvgg() -> onnx.ModelProto:
    return net(conv("x", "a", **SAME), norm("x", "b"), op("Add", ["a", "b"], "y"))


def test_report_and_provenance(repvgg: onnx.ModelProto) -> None:
    before = repvgg.SerializeToString()
    result = bnfold.fold(repvgg, REPARAM)
    (merge,) = result.report.merged
    assert len(merge.parts) == 2
    assert merge.after.launches == 1 < merge.before.launches
    assert [f.outcome for f in result.report.folded] == ["collapsed"]
    assert bnfold.onnxfile.provenance(result.model)["options"].count('"reparam":true') == 1
    assert repvgg.SerializeToString() == before
    assert not bnfold.fold(repvgg).report.merged


def test_verify_folds_it_again(repvgg: onnx.ModelProto) -> None:
    result = bnfold.fold(repvgg, REPARAM)
    verdict = bnfold.verify(repvgg, result.model, shapes={"in": (2, 4, 8, 8)})
    assert verdict.ok
    assert any(g.name == "certificate" and g.ok for g in verdict.gates)


def test_a_wrong_sum_is_never_written(
    repvgg: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnfold.merging import linear

    right: Callable[..., np.ndarray] = linear.embedded
    monkeypatch.setattr(linear, "embedded", lambda *given: right(*given)[..., ::-1])
    with pytest.raises(bnfold.BnfoldError, match="not the sum of its parts"):
        bnfold.fold(repvgg, REPARAM)


@pytest.mark.parametrize("shape", [(4, 2), (3,)], ids=["of rank 2", "too short"])
def test_a_bias_that_fits_no_conv_stays(shape: tuple[int, ...]) -> None:
    """Exporters have written such models: they run nowhere, but they must not end the run."""
    model = net(conv("x", "a", **SAME), conv("x", "b", **SAME), op("Add", ["a", "b"], "y"))
    bias = next(c for c in model.graph.initializer if c.name == "a.b")
    bias.CopyFrom(tensor("a.b", np.zeros(shape, np.float32)))
    result = bnfold.fold(model, REPARAM)
    assert not result.report.merged


def test_a_padding_written_by_scatter_stays_apart_and_says_so() -> None:
    """The diverse-branch block pads by what its BatchNorm makes of zero: the rest still merges."""
    where = np.stack(np.meshgrid([0, 1], range(4), [0], range(8), indexing="ij"), -1)
    made = [
        tensor("where", where.astype(np.int64)),
        tensor("what", randn(RNG, *where.shape[:-1])),
    ]
    model = net(
        conv("x", "a", **SAME),
        conv("x", "b", kernel=(1, 1)),
        conv("x", "c", kernel=(1, 1)),
        ([node("ScatterND", ["c", "where", "what"], "d")], made),
        conv("d", "e", **SAME),
        op("Sum", ["a", "b", "e"], "y"),
    )
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    result = bnfold.fold(model, REPARAM)
    assert [n.op_type for n in result.model.graph.node].count("Conv") == 3
    assert "not-yet" in {apart.code for apart in result.report.apart}
    assert bnfold.verify(model, result.model).ok
