"""The comparison with torch catches what an exporter could get wrong: planted faults."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from bnfold.errors import CheckFailed
from bnfold.exporting import check as checking
from bnfold.exporting import export
from bnfold.exporting.source import Source

SHAPE = (3, 6, 6)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    for _ in range(5):
        model(torch.randn(16, *SHAPE))
    return model.eval()


@pytest.fixture(scope="module")
def exported(network):
    return export(network, SHAPE)


def copied(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def scaled(name, factor, shift=0.0):
    def plant(model):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(
            (numpy_helper.to_array(tensor) * factor + shift).astype(np.float32), name
        ))  # fmt: skip

    return plant


def drop_bias(model):
    del model.graph.node[-1].input[2]


def other_eps(model):
    norm = next(n for n in model.graph.node if n.op_type == "BatchNormalization")
    next(a for a in norm.attribute if a.name == "epsilon").f = 1e-3


def other_shape(model):
    conv = model.graph.node[-1]
    kept = [a for a in conv.attribute if a.name not in ("auto_pad", "pads")]
    del conv.attribute[:]
    conv.attribute.extend([*kept, onnx.helper.make_attribute("pads", [1, 1, 1, 1])])
    for axis in (2, 3):
        model.graph.output[0].type.tensor_type.shape.dim[axis].ClearField("dim_value")


FAULTS = {
    "weight-0.1%": scaled("0.weight", 1.001),
    "variance-1%": scaled("1.running_var", 1.01),
    "mean-shifted": scaled("1.running_mean", 1.0, 0.01),
    "scale-95%": scaled("1.weight", 0.95),
    "shift-lost": scaled("1.bias", 0.0, 0.01),
    "bias-dropped": drop_bias,
    "other-epsilon": other_eps,
    "other-shape": other_shape,
    "nan": scaled("0.weight", float("nan")),
}


def compare(model, network):
    return checking.refuse_difference(model, Source(network, (SHAPE,), torch.float32))


@pytest.mark.parametrize("plant", FAULTS.values(), ids=FAULTS)
def test_planted_fault_is_caught(network, exported, plant):
    model = copied(exported)
    plant(model)
    with pytest.raises(CheckFailed):
        compare(model, network)


def test_tolerance_is_far_above_rounding(network, exported):
    assert compare(exported, network) < checking.RTOL[torch.float32] / 20


def test_without_a_runtime_the_reference_judges(network, exported, monkeypatch):
    def missing(_):
        raise ImportError("onnxruntime")

    monkeypatch.setattr(checking, "_onnxruntime", missing)
    compare(exported, network)
    model = copied(exported)
    scaled("1.running_var", 1.01)(model)
    with pytest.raises(CheckFailed):
        compare(model, network)
