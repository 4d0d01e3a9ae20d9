"""Weights behind a DequantizeLinear: (q - zero) * scale, per tensor, per axis or in blocks.

They are known before run time, yet never evaluated away: the integers are what makes the model
small. A bias (rank 1 at most) is; `constants` does that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import Value


@dataclass(frozen=True, slots=True)
class Quantised:
    """The constants of one DequantizeLinear; `axis` is None where it is per tensor."""

    node: Node
    integers: Constant
    scale: Constant
    zero: Constant | None
    axis: int | None
    block: int
    elem_type: int

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
        """The weight in float64."""
        shifted = self.integers.value().astype(np.float64)
        if self.zero is not None:
            shifted = shifted - self.laid(self.zero.value().astype(np.float64))
        return np.asarray(shifted * self.laid(self.scale.value()))

    def constant(self) -> Constant:
        """The weight as a constant that can be read, and multiplied by way of its scale."""
        return Constant(self.elem_type, self.integers.shape, self.value)


def quantised(index: GraphIndex, name: str) -> Quantised | None:
    """What stands behind a tensor, if it is a weight that a DequantizeLinear gives."""
    node = index.producer_of(name) if name else None
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


def known(index: GraphIndex, name: str) -> Constant | None:
    """A constant, or a weight behind a DequantizeLinear."""
    constant = index.constant(name)
    if constant is None:
        weight = quantised(index, name)
        constant = None if weight is None else weight.constant()
    return constant
