"""Weights behind a DequantizeLinear: (q - zero) * scale, per tensor, per axis or in blocks.

They are known before run time, yet never evaluated away: the integers are what makes the model
small. A bias (rank 1 at most) is; `constants` does that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto

from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import Value


@dataclass(frozen=True, slots=True)
class Quantised:
    """The constants of one DequantizeLinear; `axis` is None where it is per tensor.

    `transposes` stand between it and who reads the weight: axis i of the weight is then axis
    `perm[i]` of the integers. All else counts the integers' own axes.
    """

    node: Node
    integers: Constant
    scale: Constant
    zero: Constant | None
    axis: int | None
    block: int
    elem_type: int
    transposes: tuple[Node, ...] = ()
    perm: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """The number of axes of the weight."""
        return len(self.integers.shape)

    def laid(self, values: Value) -> Value:
        """A scale or zero point laid out against the integers."""
        if self.block:
            grown = np.repeat(values, self.block, axis=self.axis)
            return grown[tuple(slice(n) for n in self.integers.shape)]
        if self.axis is None:
            return values.reshape((1,) * self.rank)
        return values.reshape([-1 if a == self.axis else 1 for a in range(self.rank)])

    def value(self) -> Value:
        """The weight in float64, as it is read."""
        shifted = self.integers.value().astype(np.float64)
        if self.zero is not None:
            shifted = shifted - self.laid(self.zero.value().astype(np.float64))
        value = np.asarray(shifted * self.laid(self.scale.value()))
        return value.transpose(self.perm) if self.perm else value

    def constant(self) -> Constant:
        """The weight as a constant that can be read, and multiplied by way of its scale."""
        shape = self.integers.shape
        shape = tuple(shape[axis] for axis in self.perm) if self.perm else shape
        return Constant(self.elem_type, shape, self.value)

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that hold the weight, from the DequantizeLinear to who reads it."""
        return tuple(node.outputs[0] for node in (self.node, *self.transposes))


def quantised(index: GraphIndex, name: str) -> Quantised | None:
    """What stands behind a tensor, if it is a weight that a DequantizeLinear gives."""
    node = index.producer_of(name) if name else None
    if node is not None and node.op_type == "Transpose" and node.domain in ("", "ai.onnx"):
        return _transposed(index, node)
    if node is None or node.op_type != "DequantizeLinear" or node.domain not in ("", "ai.onnx"):
        return None
    integers, scale = (index.constant(i) for i in node.inputs[:2])
    zero_name = node.inputs[2] if len(node.inputs) > 2 else ""
    zero = index.constant(zero_name)
    if integers is None or scale is None or (zero_name and zero is None):
        return None
    rank = len(integers.shape)
    block = int(node.attributes.get("block_size", 0))
    axis = int(node.attributes.get("axis", 1)) % max(rank, 1)
    per_tensor = not block and scale.shape in ((), (1,))
    if not per_tensor and not block and scale.shape != (integers.shape[axis],):
        return None
    elem_type = index.type_of(name).elem_type or scale.elem_type
    found = Quantised(node, integers, scale, zero, None if per_tensor else axis, block, elem_type)
    return found if elem_type in (scale.elem_type, TensorProto.UNDEFINED) else None


def _transposed(index: GraphIndex, node: Node) -> Quantised | None:
    weight = quantised(index, node.inputs[0])
    if weight is None:
        return None
    perm = node.attributes.get("perm") or range(weight.rank)[::-1]
    before = weight.perm or tuple(range(weight.rank))
    links = (*weight.transposes, node)
    return replace(weight, transposes=links, perm=tuple(before[axis] for axis in perm))


def known(index: GraphIndex, name: str) -> Constant | None:
    """A constant, or a weight behind a DequantizeLinear."""
    constant = index.constant(name)
    if constant is None:
        weight = quantised(index, name)
        constant = None if weight is None else weight.constant()
    return constant
