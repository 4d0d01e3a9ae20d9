"""What is left in a model: nodes, BatchNormalizations, and float Mul/Add/Sub/Div by a constant.

Written against ONNX alone, not with bnfold's own counts: it judges bnfold beside its rivals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BFLOAT16,
}
AFFINE = {"Mul", "Add", "Sub", "Div"}
RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}


@dataclass(frozen=True)
class Left:
    """Counts over all scopes, local functions' bodies included once."""

    nodes: int
    batchnorms: int
    affine: int


def left(model: onnx.ModelProto) -> Left:
    """Counts what is in `model`. What is computed from constants alone is itself a constant."""
    kinds: list[str] = []
    affine = 0
    for scope, constants in _scopes(model):
        for node in scope.node:
            kinds.append(node.op_type)
            float_constants = [constants.get(name, False) for name in node.input]
            if node.op_type in AFFINE and any(float_constants):
                affine += not all(name in constants for name in node.input)
    return Left(len(kinds), kinds.count("BatchNormalization"), affine)


Scope = onnx.GraphProto | onnx.FunctionProto


def _scopes(model: onnx.ModelProto) -> Iterator[tuple[Scope, dict[str, bool]]]:
    """Every graph with the constants seen from it: name -> is it of a float type."""
    stack: list[tuple[Scope, dict[str, bool]]] = [(model.graph, {})]
    stack += [(function, {}) for function in model.functions]
    while stack:
        scope, outer = stack.pop()
        constants = _constants(scope, outer)
        yield scope, constants
        for node in scope.node:
            for attribute in node.attribute:
                graphs = [attribute.g] if attribute.HasField("g") else attribute.graphs
                stack += [(graph, constants) for graph in graphs]


def _constants(scope: Scope, outer: dict[str, bool]) -> dict[str, bool]:
    known = dict(outer)
    if isinstance(scope, onnx.GraphProto):
        known |= {t.name: t.data_type in FLOATS for t in scope.initializer}
    for node in scope.node:
        inputs = [name for name in node.input if name]
        if node.op_type == "Constant":
            known[node.output[0]] = _is_float(node)
        elif inputs and all(name in known for name in inputs) and node.op_type not in RANDOM:
            known |= dict.fromkeys(node.output, _made_float(node, known))
    return known


def _made_float(node: onnx.NodeProto, known: dict[str, bool]) -> bool:
    """Of a node that computes with constants alone."""
    if node.op_type in ("Shape", "Size", "ArgMax", "NonZero"):
        return False
    if node.op_type == "Cast":
        return next(a.i for a in node.attribute if a.name == "to") in FLOATS
    if node.op_type == "ConstantOfShape":
        return _is_float(node) or not node.attribute
    return known[node.input[0]] if node.op_type != "CastLike" else known[node.input[1]]


def _is_float(node: onnx.NodeProto) -> bool:
    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t.data_type in FLOATS
        if attribute.name in ("value_float", "value_floats"):
            return True
    return False
