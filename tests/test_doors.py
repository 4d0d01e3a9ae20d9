"""Every kind of model that `fold`, `inspect` and `verify` take, by the same network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnx_ir
import pytest
import torch

import bnfold
from bnfold.errors import UsageError
from tests import build


def _model() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    drawn = {name: rng.uniform(0.5, 2, 4) for name in ("gamma", "beta", "mean", "var")}
    weights = {"w": rng.standard_normal((4, 3, 3, 3)), **drawn}
    tensors = [build.tensor(name, array.astype(np.float32)) for name, array in weights.items()]
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"]),
        onnx.helper.make_node("BatchNormalization", ["c", *drawn], ["y"]),
    ]
    ends = [build.value("x", ["N", 3, 6, 6])], [build.value("y", ["N", 4, 4, 4])]
    graph = onnx.helper.make_graph(nodes, "net", *ends, tensors)
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


def _path(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def _program(model: onnx.ModelProto, _: Path) -> Any:
    return torch.onnx.ONNXProgram(onnx_ir.from_proto(model), None)


DOORS: dict[str, Callable[[onnx.ModelProto, Path], Any]] = {
    "path": _path,
    "text": lambda model, folder: str(_path(model, folder)),
    "bytes": lambda model, _: model.SerializeToString(),
    "ModelProto": lambda model, _: model,
    "graphsurgeon": lambda model, _: gs.import_onnx(model),
    "onnx_ir": lambda model, _: onnx_ir.from_proto(model),
    "ONNXProgram": _program,
}
door = pytest.mark.parametrize("door", DOORS)


def _written(source: Any) -> bytes:
    """What a source holds, to see whether it was changed."""
    if isinstance(source, gs.Graph):
        source = gs.export_onnx(source.copy())
    if isinstance(source, onnx_ir.Model):
        source = onnx_ir.to_proto(source)
    if isinstance(source, torch.onnx.ONNXProgram):
        source = source.model_proto
    if isinstance(source, str | Path):
        return Path(source).read_bytes()
    return source if isinstance(source, bytes) else source.SerializeToString(deterministic=True)


@door
def test_fold_takes_it_and_leaves_it_unchanged(door: str, tmp_path: Path) -> None:
    source = DOORS[door](_model(), tmp_path)
    before = _written(source)
    result = bnfold.fold(source)
    assert [node.op_type for node in result.model.graph.node] == ["Conv"]
    assert _written(source) == before
    plain = bnfold.fold(_model()).model.graph.initializer
    same = {t.name: onnx.numpy_helper.to_array(t) for t in result.model.graph.initializer}
    for tensor in plain:
        np.testing.assert_array_equal(same[tensor.name], onnx.numpy_helper.to_array(tensor))


@door
def test_a_graph_is_given_back_for_a_graph_alone(door: str, tmp_path: Path) -> None:
    graph = bnfold.fold(DOORS[door](_model(), tmp_path)).graph
    if door != "graphsurgeon":
        assert graph is None
    else:
        assert isinstance(graph, gs.Graph)
        assert [node.op for node in graph.nodes] == ["Conv"]


@door
def test_inspect_takes_it(door: str, tmp_path: Path) -> None:
    report = bnfold.inspect(DOORS[door](_model(), tmp_path))
    assert [fold.outcome for fold in report.folded] == ["pulled"]
    assert not report.remaining


@door
def test_verify_takes_it_on_both_sides(door: str, tmp_path: Path) -> None:
    source = DOORS[door](_model(), tmp_path)
    folded = bnfold.fold(source)
    assert bnfold.verify(source, folded.graph or folded.model).ok
    wrong = _model()
    wrong.graph.initializer[0].CopyFrom(build.tensor("w", np.ones((4, 3, 3, 3), np.float32)))
    assert not bnfold.verify(wrong, source).ok


@pytest.mark.parametrize("call", [bnfold.fold, bnfold.inspect, lambda s: bnfold.verify(s, s)])
@pytest.mark.parametrize("stranger", [None, 3, ["net.onnx"], onnx.GraphProto()])
def test_anything_else_is_a_usage_error(call: Callable[[Any], object], stranger: Any) -> None:
    with pytest.raises(UsageError, match=type(stranger).__name__):
        call(stranger)
