"""Types and constants together: a constant may steer a shape, and a shape may be a constant.

Exporters compute pads, sizes and axes by chains of Reshape, Slice, Transpose and Cast; inference
follows some of them. What the others come to is found by evaluating them, and told to inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx

from bnfold.graph.constants import Constants
from bnfold.graph.numbers import Value
from bnfold.graph.refine import refine
from bnfold.graph.shapes import STEERING_ELEMENTS, TensorType, infer
from bnfold.onnxfile.external import DataFiles

_STEERED = frozenset(
    {
        *("ConstantOfShape", "Expand", "Pad", "Range", "Reshape", "Resize", "Slice", "Split"),
        *("Squeeze", "Tile", "Unsqueeze"),
    }
)
MOST_ROUNDS = 4  # few graphs take a second one
_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def known_before(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    initializers: Mapping[str, onnx.TensorProto],
    variable: Iterable[str],
    opset: int,
    data: DataFiles,
) -> tuple[dict[str, TensorType], Constants]:
    """What is known of the main graph before run time; `nodes` are its nodes in a valid order."""
    told: dict[str, Value] = {}
    for _ in range(MOST_ROUNDS):
        types = infer(model, nodes, told)
        refine(nodes, initializers, types)
        constants = Constants(initializers, variable, nodes, opset, types, data)
        unread = _unseen(nodes, types, constants)
        if unread.keys() <= told.keys():
            break
        told |= unread
    return types, constants


def _unseen(
    nodes: Sequence[onnx.NodeProto], types: Mapping[str, TensorType], constants: Constants
) -> dict[str, Value]:
    """Integers computed from constants that nodes of unknown shape are steered by."""
    made = {name for node in nodes if node.op_type != "Constant" for name in node.output}
    found: dict[str, Value] = {}
    for node in nodes:
        if node.op_type not in _STEERED or node.domain not in ("", "ai.onnx"):
            continue
        if all(map(_is_known, (types.get(name) for name in node.output if name))):
            continue
        for name in node.input:
            if name in made and name not in found and name in constants:
                value = _steering(constants, name)
                if value is not None:
                    found[name] = value
    return found


def _is_known(held: TensorType | None) -> bool:
    return held is not None and held.shape is not None and all(map(_is_size, held.shape))


def _is_size(dim: object) -> bool:
    """A number, or a symbol that the model's inputs have; inference makes up `unk__0` itself."""
    return isinstance(dim, int) or (isinstance(dim, str) and not dim.startswith("unk__"))


def _steering(constants: Constants, name: str) -> Value | None:
    constant = constants.get(name)
    if constant is None or constant.elem_type not in _INTEGERS:
        return None
    value = constant.value()
    return value if value.size <= STEERING_ELEMENTS else None
