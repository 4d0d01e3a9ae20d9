"""Where affine maps stand: inference BatchNormalizations, and Mul/Add/Sub/Div by constants.

A decomposed BatchNorm (Sub, Sqrt, Div, Mul, Add) is a row of such maps; each moves by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Operand
from bnfold.folding.facts import DEFAULT_DOMAINS, without_rule
from bnfold.folding.reasons import Reason
from bnfold.folding.report import Counts, Kind
from bnfold.folding.rules.broadcast import dim_from_right
from bnfold.folding.rules.norms import folded_parameters
from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS, alike_when_written, exactly_one
from bnfold.graph.readers import subgraphs

# the metadata by which a node, moved by inlining, remembers its place in the source
MARK = "pkg.bnfold.place"
ARITHMETIC = ("Add", "Div", "Mul", "Sub")


@dataclass(frozen=True, slots=True)
class Spot:
    """A node that is an affine map of one of its inputs."""

    node: Node
    kind: Kind
    slot: int  # the input that is mapped
    scope: str = "main"

    @property
    def label(self) -> str:
        """Scope, position and name: how reports call it."""
        proto = self.node.proto
        if proto is None:
            return label_of(self.scope, self.node.key, "")
        marks = (p.value for p in proto.metadata_props if p.key == MARK)
        return next(marks, None) or label_of(self.scope, self.node.key, proto.name)


def label_of(scope: str, position: int, name: str) -> str:
    """`main:12:bn1`, or `main:12` where the node has no name."""
    return f"{scope}:{position}:{name}" if name else f"{scope}:{position}"


def spots(index: GraphIndex, scope: str) -> Iterator[Spot]:
    """All spots of a graph, in topological order."""
    for node in sorted(index.nodes.values(), key=lambda n: n.order):
        if node.domain not in DEFAULT_DOMAINS:
            continue
        if node.op_type == "BatchNormalization":
            yield Spot(node, "batchnorm", 0, scope)
        elif node.op_type in ARITHMETIC and len(node.inputs) == 2:
            constant = [index.is_constant(name) for name in node.inputs]
            if constant[0] == constant[1] or (node.op_type == "Div" and constant[0]):
                continue
            spot = Spot(node, "affine", 1 if constant[0] else 0, scope)
            if not belongs_to_gelu(index, spot):
                yield spot


def belongs_to_gelu(index: GraphIndex, spot: Spot) -> bool:
    """0.5 * x * (1 + erf(x/sqrt 2)), in any order: runtimes know it only with its constants.

    Folding the 0.5 away would save a node in the file and cost five at run time.
    """
    around = [index.producer_of(spot.node.inputs[spot.slot])]
    around += [reader for reader, _ in index.value_readers(spot.node.outputs[0])]
    products = [n for n in around if n is not None and n.op_type == "Mul"]
    gates = [index.producer_of(name) for product in products for name in product.inputs]
    return any(gate is not None and _is_gelu_gate(index, gate) for gate in gates)


def _is_gelu_gate(index: GraphIndex, node: Node) -> bool:
    """1 + erf(.) or 1 + tanh(.), perhaps already halved."""
    if node.op_type == "Mul":
        makers = [index.producer_of(name) for name in node.inputs]
        return any(m is not None and m.op_type == "Add" and _is_gelu_gate(index, m) for m in makers)
    makers = [index.producer_of(name) for name in node.inputs]
    return node.op_type == "Add" and any(
        m is not None and m.op_type in ("Erf", "Tanh") for m in makers
    )


def map_of(index: GraphIndex, spot: Spot) -> Affine | Reason:
    """The map that stands at a spot now, or why it cannot be read as one."""
    return _batch_norm(index, spot.node) if spot.kind == "batchnorm" else _arithmetic(index, spot)


def _batch_norm(index: GraphIndex, node: Node) -> Affine | Reason:
    per_position = index.opset < 9 and not node.attributes.get("spatial", 1)
    trains = index.opset >= 14 and node.attributes.get("training_mode", 0)
    if trains or any(node.outputs[1:]):
        return Reason.TRAINING_MODE
    if index.opset < 7 or len(node.inputs) != 5:
        return Reason.NOT_YET
    constants: list[Constant] = []
    for name in node.inputs[1:]:
        constant = index.constant(name)
        if constant is None:
            traced = index.is_overridable(index.origin(name))
            return Reason.PARAMETER_OVERRIDABLE if traced else Reason.PARAMETER_NOT_CONSTANT
        constants.append(constant)
    elem_type = index.type_of(node.inputs[0]).elem_type or constants[0].elem_type
    if elem_type not in FLOATS or any(c.elem_type not in FLOATS for c in constants):
        return Reason.PARAMETER_INVALID
    if any(c.shape != constants[0].shape for c in constants):
        return Reason.PARAMETER_INVALID
    gamma, beta, mean, var = (c.value() for c in constants)
    epsilon = float(np.float32(node.attributes.get("epsilon", 1e-5)))
    with np.errstate(all="ignore"):
        scale, shift = folded_parameters(gamma, beta, mean, var, epsilon)
    # an infinite or undefined gamma, beta or mean shows in the map; behind var it could vanish
    if not (np.isfinite((scale, shift, var)).all() and (var + epsilon > 0).all()):
        return Reason.PARAMETER_INVALID
    shape = index.type_of(node.inputs[0]).shape
    if shape is None:
        return _why_unknown(index, node)
    if elem_type != TensorProto.DOUBLE:
        # even where x is a half: its map may still be told from 1 by what reads it wider
        scale = exactly_one(scale, TensorProto.FLOAT)
    return _laid(scale, shift, shape, per_position=bool(per_position))


def _why_unknown(index: GraphIndex, node: Node) -> Reason:
    """Inference ended in front: at an operator that nobody knows, or for want of sizes."""
    producer = index.producer_of(node.inputs[0])
    reason = Reason.SHAPE_UNKNOWN if producer is None else without_rule(index, producer)
    return Reason.SHAPE_UNKNOWN if reason is Reason.NONLINEAR_NEIGHBOURS else reason


def _laid(
    scale: Array, shift: Array, shape: tuple[int | str | None, ...], *, per_position: bool
) -> Affine | Reason:
    """Parameters of length C along axis 1, or of the whole (C, D1, ...) behind the batch."""
    if per_position:
        if scale.ndim != len(shape) - 1:
            return Reason.PARAMETER_INVALID
        return Affine.of(scale[None], shift[None])
    channels = shape[1] if len(shape) > 1 else 1
    if scale.ndim != 1 or (isinstance(channels, int) and channels != scale.size):
        return Reason.PARAMETER_INVALID
    if len(shape) < 2:
        return Reason.AXIS_MISMATCH
    return Affine.along(1, len(shape), scale, shift)


def _arithmetic(index: GraphIndex, spot: Spot) -> Affine | Reason:
    """X + c, x - c, c - x, x * c, x / c: c must not enlarge x."""
    node = spot.node
    constant = index.constant(node.inputs[1 - spot.slot])
    known = index.type_of(node.inputs[spot.slot])
    if constant is None or constant.elem_type not in FLOATS:
        return Reason.NOT_YET
    x = Operand(node.inputs[spot.slot], known.shape)
    if known.shape is None:
        return Reason.SHAPE_UNKNOWN
    value = constant.value()
    rank = len(known.shape)
    if value.ndim > rank:
        return Reason.AXIS_MISMATCH
    laid = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if any(n != 1 and dim_from_right(x, axis, rank) != n for axis, n in enumerate(laid.shape)):
        return Reason.AXIS_MISMATCH
    laid = alike_when_written(laid, constant.elem_type)
    one, zero = np.ones((1,) * rank), np.zeros((1,) * rank)
    if node.op_type in ("Add", "Sub"):
        return _shifting(node.op_type, spot.slot, one, laid)
    if node.op_type == "Div":
        if not (laid != 0).all():
            return Reason.PARAMETER_INVALID
        laid = 1.0 / laid
    laid = exactly_one(laid, constant.elem_type)
    return Affine.of(laid, zero) if np.isfinite(laid).all() else Reason.PARAMETER_INVALID


def _shifting(op_type: str, slot: int, one: Array, c: Array) -> Affine | Reason:
    if not np.isfinite(c).all():
        return Reason.PARAMETER_INVALID
    if op_type == "Add":
        return Affine.of(one, c)
    return Affine.of(one, -c) if slot == 0 else Affine.of(-one, c)


def counts(model: onnx.ModelProto) -> Counts:
    """Nodes, BatchNormalizations, and Mul/Add/Sub/Div by an initializer or Constant node."""
    nodes = batchnorms = affine = 0
    graphs: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        known = {o for n in graph.node if n.op_type == "Constant" for o in n.output}
        if isinstance(graph, onnx.GraphProto):
            known |= {i.name for i in graph.initializer}
        for node in graph.node:
            nodes += 1
            if node.domain in DEFAULT_DOMAINS:
                batchnorms += node.op_type == "BatchNormalization"
                affine += node.op_type in ARITHMETIC and any(i in known for i in node.input)
            graphs.extend(body for _, body in subgraphs(node))
    return Counts(nodes, batchnorms, affine)


def batch_norms(graph: onnx.GraphProto | onnx.FunctionProto, scope: str) -> Iterator[str]:
    """Labels of the BatchNormalizations of a graph and of the bodies in it."""
    for i, node in enumerate(graph.node):
        if node.op_type == "BatchNormalization" and node.domain in DEFAULT_DOMAINS:
            yield label_of(scope, i, node.name)
        for name, body in subgraphs(node):
            yield from batch_norms(body, f"{scope}:{i}.{name}")


def holds_batch_norm(graph: onnx.GraphProto) -> bool:
    """Whether a BatchNormalization stands in it, or in a body of it."""
    return next(batch_norms(graph, ""), None) is not None
