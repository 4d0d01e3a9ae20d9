"""Operators without a kernel of ours: onnx's reference implementation, on one node, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnfold.ops64.call import Array, Call, Unsupported, element_type, is_float, raised

# no determined value, or files and sequences that a float64 value cannot stand for
_REFUSED = frozenset(
    (
        "Bernoulli",
        "BitCast",
        "ImageDecoder",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    )
)


def reference(call: Call) -> tuple[Array, ...]:
    """The node computed by `onnx.reference`, floats raised to float64.

    Raises:
        Unsupported: onnx has no implementation, or the operator is random.
    """
    from onnx.reference import ReferenceEvaluator

    if call.op_type in _REFUSED:
        raise Unsupported(call.op_type)
    names = [None if value is None else f"i{k}" for k, value in enumerate(call.inputs)]
    outputs = [f"o{k}" for k in range(max(1, call.outputs))]
    try:
        session = ReferenceEvaluator(_single(call, names, outputs))
    except (NotImplementedError, RuntimeError, TypeError) as cause:
        raise Unsupported(call.op_type) from cause
    feeds = {
        name: value for name, value in zip(names, call.inputs, strict=True) if name is not None
    }
    values = session.run(None, feeds)
    return tuple(raised(np.asarray(value)) for value in values)


def _single(call: Call, names: list[str | None], outputs: list[str]) -> Any:
    import onnx
    from onnx import helper

    if not onnx.defs.has(call.op_type):
        raise Unsupported(call.op_type)
    node = helper.make_node(call.op_type, [name or "" for name in names], outputs)
    for name, value in call.attributes.items():
        node.attribute.append(_attribute(name, value))
    inputs = [
        helper.make_tensor_value_info(name, _declared(value), value.shape)
        for name, value in zip(names, call.inputs, strict=True)
        if name is not None and value is not None
    ]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], "node", inputs, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", call.version)])


def _declared(value: Array) -> int:
    return 11 if is_float(value.dtype) else element_type(value.dtype)


def _attribute(name: str, value: Any) -> Any:
    from onnx import helper, numpy_helper

    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, numpy_helper.from_array(value))
    return helper.make_attribute(name, value)
