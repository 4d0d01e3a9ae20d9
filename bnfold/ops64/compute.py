"""`compute`: one operator of the default domain, at one opset version, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from bnfold import child
from bnfold.ops64.call import Array, Call, Kernel, Unsupported, as_tuple, raised

# one module each; those that chains of constants are made of first, for a fold loads no others
FAMILIES = (
    "making",
    "elementwise",
    "movement",
    "indexing",
    "linear",
    "reductions",
    "norms",
    "quantised",
    "activations",
    "convolution",
    "pooling",
    "resize",
    "recurrent",
)


def family(name: str) -> Mapping[str, Kernel]:
    """The kernels of one family by operator."""
    kernels: Mapping[str, Kernel] = import_module(f"bnfold.ops64.{name}").KERNELS
    return kernels


@cache
def kernel_of(op_type: str) -> Kernel | None:
    """The numpy kernel of an operator, if there is one; families are loaded until it is found."""
    found = (family(name).get(op_type) for name in FAMILIES)
    return next((kernel for kernel in found if kernel is not None), None)


@cache
def kernels() -> Mapping[str, Kernel]:
    """All numpy kernels by operator."""
    return {op: kernel for name in FAMILIES for op, kernel in family(name).items()}


def compute(
    op_type: str,
    version: int,
    inputs: Sequence[Array | None],
    attributes: Mapping[str, object],
    outputs: int = 1,
    *,
    types: Sequence[int] = (),
) -> tuple[Array, ...]:
    """The outputs of one operator of the default ONNX domain, floats in float64.

    Args:
        op_type: the operator, as "Conv".
        version: the opset version that the model imports.
        inputs: one array an input, None where it is absent; any float is raised to float64.
        attributes: Python values: int, float, str, sequences of them, arrays for tensors.
        outputs: how many outputs the node names.
        types: ONNX element types of the inputs, where the arrays do not tell them. Cast rounds
            where its target is narrower than `types[0]` (always, if that is unknown); CastLike
            needs `types[1]` for floats; QuantizeLinear needs `types[2]` for 4 bit integers.

    Raises:
        Unsupported: nothing computes this operator in float64.
        ValueError: inputs or attributes do not fit the operator.
    """
    wide = tuple(None if value is None else raised(np.asarray(value)) for value in inputs)
    call = Call(op_type, version, wide, attributes, outputs, tuple(types))
    return run(call, kernel_of(op_type))


def run(call: Call, kernel: Kernel | None) -> tuple[Array, ...]:
    """One kernel's outputs, or those of onnx's reference where there is no kernel.

    NaN and infinity are values like others here: what reads them judges them, numpy need not warn.
    """
    if kernel is None:
        kernel = _fallback()
    with child.native_call(), np.errstate(all="ignore"):
        values = as_tuple(kernel(call))
        return tuple(raised(np.asarray(value)) for value in values)


def _fallback() -> Kernel:
    from bnfold.ops64.fallback import reference

    return reference


def attribute_values(node: Any) -> dict[str, Any]:
    """A NodeProto's attributes as `compute` takes them; tensors become arrays, graphs stay.

    Raises:
        Unsupported: an attribute of a type that no operator of ours has.
    """
    return {attribute.name: attribute_value(attribute) for attribute in node.attribute}


def attribute_value(attribute: Any) -> Any:
    """One AttributeProto's value."""
    from onnx import helper, numpy_helper

    value = helper.get_attribute_value(attribute)
    if attribute.type == attribute.TENSOR:
        return numpy_helper.to_array(value)
    if attribute.type == attribute.STRING:
        return value.decode("utf-8", "replace")
    if attribute.type == attribute.STRINGS:
        return [text.decode("utf-8", "replace") for text in value]
    if attribute.type in (attribute.FLOATS, attribute.INTS):
        return list(value)
    return value


__all__ = ["Unsupported", "attribute_value", "attribute_values", "compute", "kernels", "run"]
