"""Half precision and TF32: lines of their own, and units that fit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bnfold.errors import EnvironmentLacks
from bnfold.verification import runtime, trial, verify
from tests.build import make_model, node, tensor, value
from tests.verification import nets

pytest.importorskip("onnxruntime")


def in_half(parameters: nets.Params, *, norms: bool = False) -> onnx.ModelProto:
    """The net with float16 weights that are widened where they are used; float32 outside."""
    model = nets.model(parameters, norms=norms)
    for tensor_ in list(model.graph.initializer):
        narrow = numpy_helper.to_array(tensor_).astype(np.float16)
        wide = tensor_.name
        tensor_.CopyFrom(numpy_helper.from_array(narrow, f"{wide}.half"))
        model.graph.node.insert(0, node("Cast", [f"{wide}.half"], wide, to=1))
    return model


@pytest.fixture(scope="module")
def pair() -> nets.Pair:
    return nets.pair()


def test_a_cast_to_half_is_a_line_of_its_own(pair: nets.Pair) -> None:
    verdict = verify(nets.model(pair.original, norms=True), in_half(pair.folded), batches=(1,))
    assert verdict.ok, verdict.sentence
    cast = verdict.gate("cast")
    assert cast is not None
    assert not cast.decides
    assert 1e-5 < cast.value < 1e-2
    assert "float16" in cast.sentence


@pytest.mark.parametrize("fault", ["sqrt forgotten", "shift lost", "mean not scaled"])
def test_a_real_fault_is_seen_behind_the_cast(pair: nets.Pair, fault: str) -> None:
    wrong = in_half(nets.faulty(fault, pair))
    assert not verify(nets.model(pair.original, norms=True), wrong, batches=(1,)).ok


def test_where_the_source_is_half_its_unit_counts(pair: nets.Pair) -> None:
    """Nothing was cast: the fold was made from float16 values and rounded to float16 again."""
    verdict = verify(in_half(pair.original, norms=True), in_half(pair.folded), batches=(1,))
    assert verdict.gate("cast") is None


def test_tf32_is_shown_and_decides_nothing(
    pair: nets.Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, which has none: the lines are there and say that nothing changed."""
    monkeypatch.setattr(trial, "runs_on", lambda provider: trial._RUNS + trial._TF32)
    models = nets.model(pair.original, norms=True), nets.model(pair.folded, norms=False)
    verdict = verify(*models, batches=(1,))
    line = verdict.gate("tf32-candidate")
    assert line is not None
    assert not line.decides
    assert line.value == verdict.gate("runtime-candidate-none").value
    assert verdict.ok


def test_nodes_that_all_ran_elsewhere_are_no_run(
    pair: nets.Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = runtime.Runtime._ask

    def asked(self, question, arrays, subject):
        reply, outputs = right(self, question, arrays, subject)
        if question["verb"] == "drop":
            reply["nodes"] = {"SomeExecutionProvider": 7}
        return reply, outputs

    monkeypatch.setattr(runtime.Runtime, "_ask", asked)
    models = nets.model(pair.original, norms=True), nets.model(pair.folded, norms=False)
    with pytest.raises(EnvironmentLacks, match="no node ran on"):
        verify(*models, batches=(1,))


def test_a_model_in_float16_throughout() -> None:
    """Inputs, outputs and weights: u is float16's."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(8, 8)).astype(np.float16)

    def product(weights: np.ndarray) -> onnx.ModelProto:
        ports = [value("x", ["n", 8], 10)], [value("y", ["n", 8], 10)]
        return make_model([node("MatMul", ["x", "w"], "y")], *ports, [tensor("w", weights)])

    moved = w.copy()
    moved[0, 0] = np.nextafter(w[0, 0], np.float16(9))
    assert verify(product(w), product(moved)).ok
    moved[0, 0] *= np.float16(1.5)
    assert not verify(product(w), product(moved)).ok
