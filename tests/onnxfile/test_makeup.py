"""What `inspect` says a model is made of, and the folds that were made before it came."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bnfold
from bnfold.onnxfile import makeup
from tests.build import node
from tests.net import Net


def conv(weight: str = "w") -> Net:
    net = Net("makeup")
    net.init(np.zeros((4, 3, 3, 3)), weight)
    y = net.op("Conv", net.input((2, 3, 6, 6)), weight)
    return net.out(net.bn(y, 4))


def test_types_by_size() -> None:
    net = conv()
    net.initializers.append(onnx.helper.make_tensor("q", onnx.TensorProto.INT4, [4], [1, 2, 3, 4]))
    made = makeup(net.model())
    assert [(t.type, t.tensors, t.bytes) for t in made.types] == [("float", 5, 496), ("int4", 1, 2)]
    assert sum(t.share for t in made.types) == pytest.approx(1)
    assert made.opsets == {"ai.onnx": 17}
    assert made.producer == "tests"
    assert made.folded_before == ()


def test_traces() -> None:
    model = conv("onnx::Conv_22").model()
    model.graph.node.append(node("FusedConv", ["x", "onnx::Conv_22"], "f", domain="com.microsoft"))
    assert [t.split()[0] for t in makeup(model).folded_before] == ["torch", "ONNX"]
    assert makeup(bnfold.fold(conv().model()).model).folded_before == ("bnfold folded 1 maps",)
