"""Weights behind a DequantizeLinear: the scale goes into their scales, which stay positive."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.build import tensor
from tests.folding.cases.case import Case, case
from tests.net import Net

UP = {"positive": True}
DOWN = {"parameters": ([-1.5, -0.5, -2.0, -1.0], [0.3] * 4, [0.1] * 4, [1.0] * 4)}
DEAD = {"parameters": ([0.0, 1.0, -1.0, 2.0], [0.3] * 4, [0.1] * 4, [1.0] * 4)}
SHAPES = {"Conv": (4, 3, 3, 3), "ConvTranspose": (3, 4, 2, 2), "MatMul": (3, 4), "Gemm": (3, 4)}


def dequantised(
    net: Net,
    shape: tuple[int, ...],
    axis: int | None,
    zero: int | None,
    kind: Any = np.int8,
    low: int = -127,
    high: int = 127,
) -> str:
    """A weight as integers, its scales and zero points of one value."""
    w = net.init(net.rng.integers(low, high + 1, shape).astype(kind))
    width = () if axis is None else (shape[axis],)
    parts = [w, net.init(net.rng.uniform(0.01, 0.05, width))]
    parts += [] if zero is None else [net.init(np.full(width, zero, kind))]
    return net.op("DequantizeLinear", *parts, axis=axis if net.opset >= 13 else None)


def pulled(
    label: str,
    sink: str,
    *codes: str,
    axis: int | None,
    zero: int | None = None,
    opset: int = 17,
    bias: str = "",
    norm: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **weight: Any,
) -> Case:
    """DequantizeLinear(weight) -> sink -> BatchNorm; `bias` is a float, an int32 behind its own."""
    net = Net(f"int8-{label}", opset)
    dq = dequantised(net, SHAPES[sink], axis, zero, **weight)
    x = net.input(("N", 3, 6, 6) if "Conv" in sink else ("N", 3))
    extra = []
    if bias == "float":
        extra = [net.weight(4)]
    elif bias == "int32":
        q = net.init(net.rng.integers(-999, 999, 4).astype(np.int32))
        per = {"axis": 0} if opset >= 13 else {}
        scale = net.init(net.rng.uniform(1e-4, 1e-3, 4 if per else ()))
        extra = [net.op("DequantizeLinear", q, scale, **per)]
    y = net.bn(net.op(sink, x, dq, *extra), 4, **(norm or {}))
    return case(net.out(y), *codes, **(more or {}))


def transposed(
    label: str,
    sink: str,
    shape: tuple[int, ...],
    perm: list[int],
    *codes: str,
    axis: int | None,
    push: bool = False,
    twice: bool = False,
    norm: dict[str, Any] | None = None,
    shared: bool = False,
) -> Case:
    """DequantizeLinear(weight) -> Transpose -> sink, behind or in front of a BatchNorm."""
    net = Net(f"int8-transposed-{label}")
    w = net.op("Transpose", dequantised(net, shape, axis, None), perm=perm)
    w = net.op("Transpose", net.op("Transpose", w, perm=perm), perm=perm) if twice else w
    x = net.input(("N", 3, 6, 6) if sink == "Conv" else ("N", 3))
    before = net.bn(net.op("Sigmoid", x), 3, **(norm or {})) if push else x
    y = net.op(sink, before, w)
    y = y if push else net.bn(y, 4, **(norm or {}))
    return case(net.out(y, net.op("Relu", w)) if shared else net.out(y), *codes)


def pushed(label: str, sink: str, *codes: str, axis: int | None, zero: int | None = None) -> Case:
    """BatchNorm -> sink of a quantised weight."""
    net = Net(f"int8-{label}")
    dq = dequantised(net, SHAPES[sink], axis, zero)
    x = net.input(("N", 3, 6, 6) if sink == "Conv" else ("N", 3))
    return case(net.out(net.op(sink, net.bn(x, 3), dq)), *codes)


def shared(label: str, *, same: bool) -> Case:
    """Two Convs of one quantised weight: one behind a BatchNorm each, or one alone."""
    net = Net(f"int8-{label}")
    dq = dequantised(net, SHAPES["Conv"], 0, None)
    x = net.input(("N", 3, 6, 6))
    a, b = (net.op("Conv", one, dq) for one in (x, net.op("Relu", x)))
    a = net.bn(a, 4)
    return case(net.out(a, net.bn(b, 4) if same else b))


def chain(label: str) -> Case:
    """Three maps in a row into one weight: integers turned twice, scales multiplied."""
    net = Net(f"int8-{label}")
    y = net.op("Conv", net.input(("N", 3, 6, 6)), dequantised(net, SHAPES["Conv"], 0, None))
    y = net.bn(net.op("Mul", net.bn(y, 4, **DOWN), net.init(np.array(-0.5))), 4)
    return case(net.out(y), affine=0)


def small(label: str, kind: int, *codes: str, block: int = 0, opset: int = 21) -> Case:
    """Four bits, or eight bits of float, perhaps in blocks along the input channels."""
    net = Net(f"int8-{label}", opset)
    values = net.rng.integers(-7, 8, (4, 4))
    if kind == TensorProto.UINT4:
        values = values + 8
    packed = values.astype(helper.tensor_dtype_to_np_dtype(kind))
    net.initializers.append(numpy_helper.from_array(packed, "q"))
    steps = net.rng.uniform(0.01, 0.05, (4, 2) if block else 4)
    net.initializers.append(tensor("d", steps.astype(np.float32)))
    parts = ["q", "d"]
    if kind == TensorProto.UINT4:
        zero = np.full(4, 8).astype(packed.dtype)
        net.initializers.append(numpy_helper.from_array(zero, "z"))
        parts.append("z")
    how = {"axis": 1, "block_size": block} if block else {"axis": 0}
    dq = net.op("DequantizeLinear", *parts, **how)
    y = net.op("Gemm", net.input(("N", 4)), dq, transB=1)
    return case(net.out(net.bn(y, 4)), *codes)


def activation(label: str) -> Case:
    """Conv -> QuantizeLinear -> DequantizeLinear -> BatchNorm: the rounding stands in between."""
    net = Net(f"int8-{label}")
    y = net.conv(net.input(("N", 3, 6, 6)), 3, 4)
    step, zero = net.init(np.array(0.05)), net.init(np.array(128, np.uint8))
    y = net.op("DequantizeLinear", net.op("QuantizeLinear", y, step, zero), step, zero)
    return case(net.out(net.bn(y, 4)), "nonlinear-neighbours", stay=1)


def half_scale(label: str, gamma: float, *codes: str) -> Case:
    """float16 scales: multiplied, they must stay normal."""
    net = Net(f"int8-{label}", 19)
    net.dtype = np.float16
    q = net.init(net.rng.integers(-9, 9, (4, 3, 1, 1)).astype(np.int8))
    dq = net.op("DequantizeLinear", q, net.init(np.full(4, 2.0**-10)), axis=0)
    y = net.op("Conv", net.input(("N", 3, 6, 6), dtype=TensorProto.FLOAT16), dq)
    norm = ([gamma] * 4, [0.0] * 4, [0.0] * 4, [1.0] * 4)
    return case(net.out(net.bn(y, 4, parameters=norm, eps=0.0)), *codes)


SINKS = [("Conv", 0), ("ConvTranspose", 1), ("MatMul", 1), ("Gemm", 1)]
ROWS: list[Case] = [
    *(pulled(f"{sink}-per-axis", sink, axis=axis) for sink, axis in SINKS),
    *(pulled(f"{sink}-per-tensor", sink, axis=None) for sink, _ in SINKS),
    *(pulled(f"{sink}-wrong-axis", sink, "axis-mismatch", axis=1 - a) for sink, a in SINKS),
    *(pulled(f"{sink}-uint8", sink, axis=a, zero=128, kind=np.uint8, low=1, high=255)
      for sink, a in SINKS),
    pulled("Conv-zero-point", "Conv", axis=0, zero=7, low=-100, high=100),
    pulled("Conv-per-tensor-zero-point", "Conv", axis=None, zero=7, low=-100, high=100),
    pulled("Conv-positive-minus-128", "Conv", axis=0, zero=0, norm=UP, low=-128),
    pulled("Conv-negative-minus-128", "Conv", axis=0, zero=0, norm=DOWN, low=-128, high=-128),
    pulled("Conv-negative-minus-128-no-zero", "Conv", axis=0, norm=DOWN, low=-128, high=-128),
    pulled("Conv-some-minus-128", "Conv", axis=None, norm=DOWN, low=-128),
    pulled("Conv-uint8-zero", "Conv", axis=0, zero=128, kind=np.uint8, norm=DOWN, low=0, high=0),
    pulled("Conv-dead-channel", "Conv", axis=0, zero=3, norm=DEAD, low=-100, high=100),
    pulled("Conv-float-bias", "Conv", axis=0, bias="float"),
    pulled("Conv-int32-bias", "Conv", axis=0, bias="int32"),
    pulled("Gemm-int32-bias", "Gemm", axis=1, bias="int32"),
    pulled("Conv-int16", "Conv", axis=0, kind=np.int16, opset=21, low=-9999, high=9999),
    pulled("Conv-opset-12-per-tensor", "Conv", "axis-mismatch", axis=None, zero=0, opset=12),
    pulled("Conv-opset-12-uniform", "Conv", axis=None, zero=0, opset=12, bias="int32",
           norm={"parameters": ([-2.0] * 4, [0.3] * 4, [0.1] * 4, [1.0] * 4)}),
    transposed("Conv", "Conv", (3, 3, 3, 4), [3, 2, 0, 1], axis=3),
    transposed("Conv-negative", "Conv", (3, 3, 3, 4), [3, 2, 0, 1], axis=3, norm=DOWN),
    transposed("Conv-per-tensor", "Conv", (3, 3, 3, 4), [3, 2, 0, 1], axis=None),
    transposed("Conv-wrong-axis", "Conv", (3, 3, 3, 4), [3, 2, 0, 1], "axis-mismatch", axis=2),
    transposed("MatMul", "MatMul", (4, 3), [1, 0], axis=0),
    transposed("MatMul-thrice", "MatMul", (4, 3), [1, 0], axis=0, twice=True),
    transposed("MatMul-push", "MatMul", (4, 3), [1, 0], axis=1, push=True),
    transposed("Gemm-push", "Gemm", (4, 3), [1, 0], axis=None, push=True),
    transposed("shared", "MatMul", (4, 3), [1, 0], "would-cost-more", axis=0, shared=True),
    pushed("Conv-push", "Conv", axis=None),
    pushed("Conv-push-per-input", "Conv", axis=1),
    pushed("Conv-push-per-output", "Conv", "axis-mismatch", axis=0),
    pushed("MatMul-push", "MatMul", axis=0),
    pushed("Gemm-push", "Gemm", axis=None, zero=3),
    shared("shared-by-two-norms", same=True),
    shared("shared-by-another", same=False),
    chain("chain"),
    small("int4", TensorProto.INT4),
    small("uint4", TensorProto.UINT4),
    small("float8", TensorProto.FLOAT8E4M3FN),
    small("int4-blocks", TensorProto.INT4, block=2),
    activation("activation"),
    half_scale("float16-scale", -(2.0**-4)),
    half_scale("float16-scale-subnormal", 2.0**-5, "number-range"),
]  # fmt: skip
