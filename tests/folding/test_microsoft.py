"""Operators that ONNX Runtime's optimiser writes: judged by ONNX Runtime itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import bnfold
from tests.build import value
from tests.net import Net

DOMAIN = "com.microsoft"
PURE = {"positive": True, "shift": False}
MIXED = {"shift": False}
Build = Callable[[Net], tuple[str, tuple[int, ...]]]  # the last tensor, with its shape


def fused_conv(net: Net, x: str, cin: int, *tail: str, **attrs: Any) -> str:
    w = net.weight(4, cin, 3, 3)
    return net.op("FusedConv", x, w, *tail, domain=DOMAIN, **attrs)


def conv_pull(activation: str | None = None, addend: str = "", **norm: Any) -> Build:
    """FusedConv -> BatchNorm."""

    def made(net: Net) -> tuple[str, tuple[int, ...]]:
        x = net.input((2, 3, 6, 6))
        tail = [net.weight(4)]
        if addend:
            tail.append(net.conv(x, 3, 4) if addend == "linear" else net.input((2, 4, 4, 4), "z"))
        how: dict[str, Any] = {"activation": activation} if activation else {}
        how |= {"activation_params": [0.1]} if activation == "LeakyRelu" else {}
        return net.bn(fused_conv(net, x, 3, *tail, **how), 4, **norm), (2, 4, 4, 4)

    return made


def conv_push(activation: str, pads: int = 0, **norm: Any) -> Build:
    """BatchNorm -> FusedConv."""

    def made(net: Net) -> tuple[str, tuple[int, ...]]:
        x = net.bn(net.op("Sigmoid", net.input((2, 4, 6, 6))), 4, **norm)
        size = 4 + 2 * pads
        y = fused_conv(net, x, 4, net.weight(4), activation=activation, pads=[pads] * 4)
        return y, (2, 4, size, size)

    return made


def gemm(*, push: bool, activation: str = "Relu", **norm: Any) -> Build:
    def made(net: Net) -> tuple[str, tuple[int, ...]]:
        x = net.input((4, 4))
        x = net.bn(net.op("Sigmoid", x), 4, **norm) if push else x
        parts = [x, net.weight(4, 4), net.weight(4)]
        y = net.op("FusedGemm", *parts, domain=DOMAIN, activation=activation, alpha=0.7, beta=0.3)
        return (y if push else net.bn(y, 4, **norm)), (4, 4)

    return made


def matmul(
    *, push: bool, rank: int = 2, bias: bool = False, left: bool = False, **how: Any
) -> Build:
    """FusedMatMul with a constant, of 4 features, beside a BatchNorm."""
    norm = how.pop("norm", {})

    def made(net: Net) -> tuple[str, tuple[int, ...]]:
        x = net.input((4, 4) if rank == 2 else (2, 4, 4))
        x = net.bn(net.op("Sigmoid", x), 4, **norm) if push else net.op("Sigmoid", x)
        parts = (net.weight(4, 4), x) if left else (x, net.weight(4, 4))
        y = net.op("FusedMatMul", *parts, domain=DOMAIN, **how)
        y = net.op("Add", y, net.weight(4, 1) if rank == 3 else net.weight(4)) if bias else y
        return (y if push else net.bn(y, 4, **norm)), ((4, 4) if rank == 2 else (2, 4, 4))

    return made


FOLD: dict[str, Build] = {
    "conv": conv_pull(),
    "conv-relu": conv_pull("Relu", **PURE),
    "conv-leaky": conv_pull("LeakyRelu", **PURE),
    "conv-addend": conv_pull(addend="linear"),
    "conv-addend-relu": conv_pull("Relu", addend="linear", **PURE),
    "conv-push": conv_push("Relu"),
    "conv-push-sigmoid": conv_push("Sigmoid"),
    "conv-push-padded": conv_push("Relu", pads=1, **MIXED),
    "gemm": gemm(push=False, **PURE),
    "gemm-push": gemm(push=True),
    "matmul-scale": matmul(push=False, norm=MIXED, alpha=0.5),
    "matmul-bias": matmul(push=False, bias=True, alpha=0.5, transB=1),
    "matmul-left": matmul(push=False, rank=3, left=True, alpha=0.5, transA=1),
    "matmul-push": matmul(push=True, bias=True, alpha=0.5),
    "matmul-push-transB": matmul(push=True, bias=True, alpha=0.5, transB=1),
    "matmul-push-left": matmul(push=True, rank=3, left=True, bias=True, alpha=0.5, transA=1),
}
STAY: dict[str, tuple[Build, str]] = {
    "conv-relu-shift": (conv_pull("Relu", positive=True), "nonlinear-neighbours"),
    "conv-relu-signs": (conv_pull("Relu", **MIXED), "negative-scale"),
    "conv-sigmoid": (conv_pull("Sigmoid", **PURE), "nonlinear-neighbours"),
    "conv-addend-given": (conv_pull(addend="given"), "nonlinear-neighbours"),
    "conv-push-padded": (conv_push("Relu", pads=1), "padding-shift"),
    "gemm-signs": (gemm(push=False, **MIXED), "negative-scale"),
    "gemm-shift": (gemm(push=False, positive=True), "nonlinear-neighbours"),
    "matmul-rank-2-without-bias": (matmul(push=False, alpha=0.5), "would-cost-more"),
    "matmul-rows": (matmul(push=True, rank=3, alpha=0.5), "axis-mismatch"),
    "matmul-push-rows": (matmul(push=True, bias=True, transA=1), "axis-mismatch"),
}


def model_of(name: str, build: Build) -> onnx.ModelProto:
    net = Net(f"microsoft-{name}")
    y, shape = build(net)
    for made in net.nodes:  # onnx knows no types behind them
        if made.domain and made.output[0] != y:
            net.options.setdefault("value_info", []).append(value(made.output[0], shape))
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, 1)]
    model = net.out(value(y, shape)).model()
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return model


def run(model: onnx.ModelProto) -> NDArray[np.float32]:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    feeds = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
    return np.asarray(session.run(None, feeds)[0])


def folded(name: str, build: Build) -> bnfold.FoldReport:
    """The report; the outputs agree to float32's rounding (sums of up to 36 terms)."""
    model = model_of(name, build)
    result = bnfold.fold(model)
    want = run(model)
    np.testing.assert_allclose(run(result.model), want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
    return result.report


@pytest.mark.parametrize("name", FOLD)
def test_it_folds(name: str) -> None:
    report = folded(name, FOLD[name])
    assert report.after.batchnorms == 0, report.remaining


@pytest.mark.parametrize("name", STAY)
def test_it_stays(name: str) -> None:
    build, code = STAY[name]
    report = folded(name, build)
    assert [r.code for r in report.remaining] == [code]
