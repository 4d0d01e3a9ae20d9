"""Small ONNX models for tests: one call builds a whole, checked-in-shape model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT, FLOAT16, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
BFLOAT16, INT64, BOOL = TensorProto.BFLOAT16, TensorProto.INT64, TensorProto.BOOL
Dims = Sequence[int | str | None] | None


def value(name: str, shape: Dims, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    """A typed graph input, output or value_info; a str is a dim_param, None no shape at all."""
    return helper.make_tensor_value_info(name, dtype, shape)


def tensor(name: str, array: object, dtype: object = None) -> onnx.TensorProto:
    """An initializer; Python floats become float32, Python ints int64."""
    got = np.asarray(array, dtype=dtype)  # type: ignore[call-overload]
    if dtype is None and not isinstance(array, np.ndarray | np.generic) and got.dtype.kind == "f":
        got = got.astype(np.float32)
    return numpy_helper.from_array(got, name)


def bfloat16(name: str, array: object) -> onnx.TensorProto:
    """A bfloat16 initializer."""
    import ml_dtypes

    return numpy_helper.from_array(np.asarray(array).astype(ml_dtypes.bfloat16), name)


def ints(name: str, *items: int) -> onnx.TensorProto:
    """A 1-D int64 initializer."""
    return tensor(name, np.array(items, dtype=np.int64))


def node(
    op: str, inputs: Sequence[str], outputs: Sequence[str] | str, /, **attrs: object
) -> onnx.NodeProto:
    """`helper.make_node` for one output as a str too; attributes that are None are left out."""
    outs = [outputs] if isinstance(outputs, str) else list(outputs)
    given = {k: v for k, v in attrs.items() if v is not None}
    return helper.make_node(op, list(inputs), outs, **given)


def randn(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    """Normal float32 values."""
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def norm_parameters(
    channels: int | Sequence[int],
    rng: np.random.Generator,
    *,
    positive: bool = False,
    shift: bool = True,
    eps: float = 1e-5,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """gamma, beta, mean, var; `positive`: every scale > 0; without `shift`: mean and beta are 0."""
    gamma = rng.uniform(0.5, 2.0, channels)
    if not positive:
        gamma *= rng.choice([-1.0, 1.0], channels)
        gamma.reshape(-1)[0] = -abs(gamma.reshape(-1)[0])
    beta, mean = rng.normal(size=channels), rng.normal(size=channels)
    if not shift:
        beta, mean = np.zeros(channels), np.zeros(channels)
    return gamma, beta, mean, rng.uniform(0.3, 2.0, channels)


def batchnorm(
    x: str,
    y: str,
    channels: int | Sequence[int],
    rng: np.random.Generator,
    *,
    positive: bool = False,
    shift: bool = True,
    eps: float | None = None,
    prefix: str | None = None,
    name: str | None = None,
    dtype: object = np.float32,
    parameters: Sequence[object] | None = None,
    **attrs: object,
) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """A BatchNormalization x -> y and its initializers `<prefix>.scale|bias|mean|var`.

    Args:
        x: Input name.
        y: Output name.
        channels: Number of channels (or a whole shape for spatial=0).
        rng: Where the parameters come from.
        positive: Every scale > 0 (else at least channel 0 is negative).
        shift: False makes mean and beta 0.
        eps: The attribute; None leaves it absent.
        prefix: Of the initializers; the output's name by default.
        name: The node's name; the output's name by default, "" for none.
        dtype: Of the initializers.
        parameters: (gamma, beta, mean, var) in place of random ones.
        **attrs: More attributes (training_mode, spatial, momentum, ...).
    """
    prefix = y if prefix is None else prefix
    drawn = norm_parameters(channels, rng, positive=positive, shift=shift)
    chosen = drawn if parameters is None else parameters
    names = [f"{prefix}.{part}" for part in ("scale", "bias", "mean", "var")]
    consts = [tensor(n, np.asarray(p, dtype=dtype)) for n, p in zip(names, chosen, strict=True)]
    made = node("BatchNormalization", [x, *names], y, epsilon=eps, **attrs)
    made.name = y if name is None else name
    return made, consts


IR_OF_OPSET = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8}


def make_model(
    nodes: Iterable[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto | str],
    initializers: Iterable[onnx.TensorProto] = (),
    *,
    opset: int = 17,
    ir: int | None = 10,
    value_info: Iterable[onnx.ValueInfoProto] = (),
    functions: Iterable[onnx.FunctionProto] = (),
    extra_opsets: Iterable[tuple[str, int]] = (),
    initializers_as_inputs: bool = False,
    name: str = "g",
) -> onnx.ModelProto:
    """A model of these parts, the nodes in the order given.

    `ir=None` takes the IR version that fits the opset; IR 3 lists every initializer among the
    inputs, as that version demands. An output given as a bare name gets its inferred type.
    """
    if ir is None:
        ir = IR_OF_OPSET.get(opset, 10)
    initializers, inputs, outputs = list(initializers), list(inputs), list(outputs)
    if initializers_as_inputs or ir < 4:
        known = {i.name for i in inputs}
        fresh = [t for t in initializers if t.name not in known]
        inputs += [value(t.name, list(t.dims), t.data_type) for t in fresh]
    typed = [onnx.ValueInfoProto(name=o) if isinstance(o, str) else o for o in outputs]
    graph = helper.make_graph(
        list(nodes), name, inputs, typed, initializers, value_info=list(value_info)
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, version) for domain, version in extra_opsets]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=ir, functions=list(functions), producer_name="tests"
    )
    if any(isinstance(o, str) for o in outputs):
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        del model.graph.output[:]
        model.graph.output.extend(inferred.graph.output)
    return model
