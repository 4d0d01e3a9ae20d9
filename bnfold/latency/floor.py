"""The least time a device can take: what is measured below it is wrong, not fast.

A true lower bound, from the driver's highest clocks. Multiplications: those of Conv, ConvTranspose,
Gemm and MatMul by constants, the 3x3 Convs divided by four as in Winograd's F(4x4, 3x3), larger
kernels left out (a Fourier transform could do them). Bytes: the weights, less what the cache holds
from the run before; activations may never leave it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from bnfold import onnxfile
from bnfold.graph import shapes
from bnfold.latency import inputs, runtime, sessions
from bnfold.latency.cuda import Speed

# Fused multiply-adds a multiprocessor and cycle, dense, at their best: float32, TF32, 16 bits
# (NVIDIA's white papers and data sheets of each compute capability).
_RATES = {
    (7, 0): (64, 64, 512),
    (7, 5): (64, 64, 512),
    (8, 0): (64, 512, 1024),
    (8, 6): (128, 256, 512),
    (8, 9): (128, 256, 512),
    (9, 0): (128, 1024, 2048),
    (10, 0): (128, 2048, 4096),
    (12, 0): (128, 256, 512),
}
_WINOGRAD = 4
_LINEAR = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_HALVES = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


@dataclass(frozen=True, slots=True)
class Work:
    """Of one run: multiply-adds that cannot be saved, bytes of weights, the weights' type."""

    multiply_adds: int
    weight_bytes: int
    elem_type: int


def work(path: str | os.PathLike[str], sizes: inputs.Sizes) -> Work:
    """What the main graph's linear operators must do at these input sizes."""
    model = onnxfile.read(path).model
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, sizes.get(value.name, ()), strict=False):
            dim.dim_value = size
    types = shapes.infer(model, model.graph.node)
    weights = {t.name: t for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in _LINEAR and n.input[1] in weights]
    used = {n.input[1]: weights[n.input[1]] for n in nodes}
    kinds = [t.data_type for t in used.values()]
    return Work(
        multiply_adds=sum(_multiply_adds(n, weights[n.input[1]], types) for n in nodes),
        weight_bytes=sum(math.prod(t.dims) * _width(t.data_type) for t in used.values()),
        elem_type=max(set(kinds), key=kinds.count) if kinds else TensorProto.FLOAT,
    )


def _width(elem_type: int) -> int:
    size: int = onnx.helper.tensor_dtype_to_np_dtype(elem_type).itemsize
    return size


def _multiply_adds(
    node: onnx.NodeProto, weight: TensorProto, types: Mapping[str, shapes.TensorType]
) -> int:
    """0 where a size is not known: less is still a lower bound."""
    reads = node.op_type == "ConvTranspose"  # its kernel is laid over the input's positions
    known = types.get(node.input[0] if reads else node.output[0], shapes.TensorType()).shape
    if known is None or not all(isinstance(d, int) for d in known):
        return 0
    positions = math.prod(d for d in known if isinstance(d, int))
    if node.op_type in ("Gemm", "MatMul"):
        rows = int(weight.dims[1 if _transposed(node) else 0])
        return positions * rows if len(weight.dims) == 2 else 0
    kernel = tuple(int(d) for d in weight.dims[2:])
    return positions * int(weight.dims[1]) * math.prod(kernel) // _saved(kernel)


def _transposed(node: onnx.NodeProto) -> bool:
    return any(a.name == "transB" and a.i for a in node.attribute)


def _saved(kernel: tuple[int, ...]) -> int:
    """By how much a transform may divide the multiplications."""
    if math.prod(kernel) == 1:
        return 1
    return _WINOGRAD if kernel == (3, 3) else math.prod(kernel)


def least_ms(done: Work, speed: Speed, how: sessions.Setting) -> float | None:
    """The floor on this device, None where its rates are not known."""
    rates = _RATES.get((speed.major, speed.minor))
    if rates is None or how.provider == runtime.PROVIDERS["cpu"]:
        return None
    full, tf32, half = rates
    rate = half if done.elem_type in _HALVES else tf32 if _tf32(how) else full
    per_ms = speed.clock_khz * speed.multiprocessors * rate
    bytes_per_ms = 2 * speed.memory_clock_khz * speed.bus_bits / 8  # two transfers a clock
    from_memory = max(0, done.weight_bytes - speed.cache_bytes)
    return max(done.multiply_adds / per_ms, from_memory / bytes_per_ms)


def _tf32(how: sessions.Setting) -> bool:
    return how.provider_options.get("use_tf32", "1") != "0"
