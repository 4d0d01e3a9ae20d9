"""The ONNX element types that float64 values stand for, so that Cast knows when it narrows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnfold.ops64.call import FLOAT, FLOATS, UNDEFINED, Array, element_type, is_float

_SAME_AS_INPUT: Mapping[str, int] = {"CastLike": 1, "OneHot": 2, "Where": 1}
_ANY_TYPE = frozenset(
    (
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    )
)


@dataclass(frozen=True, slots=True)
class Value:
    """An array, the element type that the model declares for it, and whether it is constant."""

    array: Array
    type: int
    fixed: bool = False


def output_type(
    op_type: str, attributes: Mapping[str, Any], inputs: tuple[Value | None, ...], out: Array
) -> int:
    """The element type of an output; for other than floats what the array itself says."""
    types = tuple(UNDEFINED if value is None else value.type for value in inputs)
    if op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _quantised_type(op_type, attributes, types)
    if not is_float(out.dtype):
        return types[0] if op_type in _ANY_TYPE and types else UNDEFINED
    if op_type == "Cast":
        return int(attributes["to"])
    if op_type in _SAME_AS_INPUT:
        return types[_SAME_AS_INPUT[op_type]]
    if op_type in ("EyeLike", "BlackmanWindow", "HannWindow", "HammingWindow"):
        return int(attributes.get("dtype", attributes.get("output_datatype", FLOAT)))
    if op_type in ("Constant", "ConstantOfShape") and "value" in attributes:
        return element_type(np.asarray(attributes["value"]).dtype)
    return next((kind for kind in types if kind in FLOATS), FLOAT)


def _quantised_type(op_type: str, attributes: Mapping[str, Any], types: tuple[int, ...]) -> int:
    declared = int(attributes.get("output_dtype", UNDEFINED))
    if declared:
        return declared
    if op_type == "DequantizeLinear":
        return types[1]
    return (types[2] if len(types) > 2 else UNDEFINED) or 2
