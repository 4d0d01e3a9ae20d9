"""Weights that are inputs too: the candidate has to take what callers feed, and to use it."""

from __future__ import annotations

import onnx
import pytest

import bnfold
from bnfold.errors import CheckFailed
from bnfold.verification import verify
from tests.build import value
from tests.net import Net


def original(ir: int = 8) -> onnx.ModelProto:
    """Conv -> BatchNorm, all weights listed as inputs."""
    net = Net("overridable", 15)
    y = net.bn(net.conv(net.input((2, 3, 6, 6)), 3, 4), 4)
    model = net.out(value(y, (2, 4, 4, 4))).model()
    model.ir_version = ir
    model.graph.input.extend(value(t.name, tuple(t.dims)) for t in model.graph.initializer)
    return model


def frozen_by_others() -> onnx.ModelProto:
    """The fold that takes them as constants, without a word of it."""
    model = bnfold.fold(original(), bnfold.Options(freeze_inputs=True)).model
    del model.metadata_props[:]
    return model


def deaf() -> onnx.ModelProto:
    """The same, still listing the inputs that nothing reads now."""
    model, first = frozen_by_others(), original()
    model.graph.initializer.extend(first.graph.initializer)
    model.graph.input.extend(v for v in first.graph.input[1:])
    return model


def test_a_fold_that_heeds_them() -> None:
    verdict = verify(original(), bnfold.fold(original()).model)
    assert verdict.ok, verdict.sentence
    assert verdict.inputs[-1] == "normal x1, initializers fed"


def test_a_fold_that_was_told_to_freeze_them() -> None:
    verdict = verify(original(), bnfold.fold(original(), bnfold.Options(freeze_inputs=True)).model)
    assert verdict.ok, verdict.sentence


def test_before_ir_4_they_are_constants() -> None:
    assert verify(original(3), bnfold.fold(original(3)).model).ok


@pytest.mark.parametrize("layers", [False, True])
def test_an_input_that_is_gone(layers: bool) -> None:
    with pytest.raises(CheckFailed, match="may feed 'w1', an initializer that is an input"):
        verify(original(), frozen_by_others(), layers=layers)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_input_that_nothing_reads(seed: int) -> None:
    verdict = verify(original(), deaf(), seed=seed)
    assert not verdict.ok
    gate = verdict.gate("float64")
    assert gate is not None
    assert not gate.ok
