"""What is constant wherever it hides, and its value in float64.

Constant are: an initializer that callers cannot override, a Constant node in every value form,
and whatever pure operators compute of constants alone (or of their shape or type alone). A
DequantizeLinear of a weight is never evaluated away: its integers are what makes the model small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bnfold import ops64
from bnfold.graph.amounts import elements_made
from bnfold.graph.numbers import FLOATS, Value, written
from bnfold.graph.shapes import TensorType
from bnfold.onnxfile.external import IN_MEMORY, DataFiles

# computed from constants they would still differ from run to run, or must not be evaluated away
_NEVER = frozenset(
    {
        *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        *("Bernoulli", "Multinomial", "QuantizeLinear", "Dropout"),
    }
)
_ROOM = 1 << 27  # elements computed of constants, all together: 1 GB; more where the file is large
_KEPT_ELEMENTS = 4096  # a value up to this size is kept once computed; larger ones are made again


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant tensor: element type (TensorProto.DataType), dims, and its float64 value."""

    elem_type: int
    shape: tuple[int, ...]
    load: Callable[[], Value]
    of: str | None = None  # the initializer it is read from, where it is one
    reads: frozenset[str] = frozenset()  # initializers that `load` still reads when it is called
    peaks: dict[tuple[int, ...], Value] = field(default_factory=dict, repr=False, compare=False)

    def value(self) -> Value:
        """The value: floats as float64, integers and bools as they are."""
        return self.load()

    def peak(self, axes: tuple[int, ...]) -> Value:
        """The largest magnitude along these axes, which keep length 1.

        It is kept: a plan is judged by it, and what the plan writes is judged by it again.
        """
        if axes in self.peaks:
            return self.peaks[axes]
        value = self.load()
        largest = value.max(axis=axes, keepdims=True, initial=0.0)
        # a second pass is cheaper than an array of magnitudes beside the values
        found = np.asarray(np.maximum(largest, -value.min(axis=axes, keepdims=True, initial=0.0)))
        if found.size <= _KEPT_ELEMENTS:
            self.peaks[axes] = found
        return found


def float64(tensor: TensorProto, data: DataFiles = IN_MEMORY) -> Value:
    """A tensor's value, floats raised to float64.

    Raises:
        ValueError: the payload does not fit the dims.
    """
    array = data.array(tensor)
    return array.astype(np.float64) if tensor.data_type in FLOATS else array


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values; strings decoded, tensors as they are in the proto."""
    return {a.name: _plain(a) for a in node.attribute}


def _plain(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class Constants:
    """The constants of one graph, found in one pass over its nodes and evaluated on demand."""

    def __init__(
        self,
        initializers: Mapping[str, TensorProto],
        variable: Iterable[str],
        nodes: Sequence[onnx.NodeProto],
        opset: int,
        types: Mapping[str, TensorType],
        data: DataFiles,
    ) -> None:
        self._initializers = initializers
        self._data = data
        self._variable = frozenset(variable)
        self._opset = opset
        self._types = types
        self._makers: dict[str, onnx.NodeProto] = {}
        self._kept: dict[str, Constant | None] = {}
        self._room = max(_ROOM, 8 * sum(prod(one.dims) for one in initializers.values()))
        self._sizes: dict[str, Value] = {}  # what is read of shapes: numbers, symbols and Nones
        for node in nodes:
            if self._is_pure(node):
                self._makers.update((output, node) for output in node.output if output)

    def __contains__(self, name: str) -> bool:
        return name in self._makers or (name in self._initializers and name not in self._variable)

    def get(self, name: str) -> Constant | None:
        """The constant of that name, or None where it is computed at run time or unreadable."""
        if name not in self._kept:
            self._kept[name] = self._find(name)
        return self._kept[name]

    def _find(self, name: str) -> Constant | None:
        if name in self._makers:
            return self._computed(name)
        if name not in self:
            return None
        tensor = self._initializers[name]
        shape = tuple(tensor.dims)
        if prod(shape) <= _KEPT_ELEMENTS:
            return _settled(tensor.data_type, float64(tensor, self._data), name)

        def load() -> Value:
            return float64(tensor, self._data)

        return Constant(tensor.data_type, shape, load, name, frozenset((name,)))

    def _is_pure(self, node: onnx.NodeProto) -> bool:
        if node.domain not in ("", "ai.onnx") or node.op_type in _NEVER:
            return False
        if node.op_type == "DequantizeLinear" and not self._is_vector(node.input[0]):
            return False
        if any(
            a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
            for a in node.attribute
        ):
            return False
        if node.op_type == "CastLike":  # of its second input only the type is read
            return node.input[0] in self and self._elem_type(node.input[1]) != 0
        if self._reads_sizes(node):
            return True
        return all(not name or name in self for name in node.input)

    def _is_vector(self, name: str) -> bool:
        shape = self._types.get(name, TensorType()).shape
        return shape is not None and len(shape) <= 1

    def _reads_sizes(self, node: onnx.NodeProto) -> bool:
        """Whether a node gives sizes that are known before run time, be others of them open."""
        sizes = self._shape_read(node) if node.op_type == "Shape" else self._picked(node)
        if sizes is not None:
            self._sizes[node.output[0]] = sizes
        return self._are_known(node)

    def _are_known(self, node: onnx.NodeProto) -> bool:
        sizes = self._sizes.get(node.output[0])
        return sizes is not None and all(isinstance(n, int) for n in sizes.flat)

    def _shape_read(self, node: onnx.NodeProto) -> Value | None:
        """What a Shape node gives, as far as it is known."""
        shape = self._types.get(node.input[0], TensorType()).shape
        if shape is None:
            return None
        bounds = {a.name: a.i for a in node.attribute}
        return np.array(shape[bounds.get("start", 0) : bounds.get("end", len(shape))], object)

    def _picked(self, node: onnx.NodeProto) -> Value | None:
        """What a Gather or a Slice takes of a shape."""
        sizes = self._sizes.get(node.input[0]) if node.input else None
        if sizes is None or node.op_type not in ("Gather", "Slice"):
            return None
        picks = {i: self.get(name) for i, name in enumerate(node.input) if i and name}
        values = {i: constant.value() for i, constant in picks.items() if constant is not None}
        try:
            if len(values) < len(picks):
                return None
            if node.op_type == "Gather":
                return np.asarray(sizes[values[1]], object)
            step = int(values[4][0]) if 4 in values else 1
            return sizes[int(values[1][0]) : int(values[2][0]) : step]
        except (LookupError, ValueError):  # bounds that are none: the node stays as it is
            return None

    def _elem_type(self, name: str) -> int:
        if name in self._initializers:
            return self._initializers[name].data_type
        return self._types.get(name, TensorType()).elem_type

    def _computed(self, name: str) -> Constant | None:
        """Evaluate the chain that makes `name`, deepest node first and without recursion."""
        pending = [name]
        while pending:
            node = self._makers[pending[-1]]
            missing = [i for i in self._read(node) if i in self._makers and i not in self._kept]
            if missing:
                pending.extend(missing)
                continue
            self._evaluate(node)
            pending.pop()
        return self._kept[name]

    def _read(self, node: onnx.NodeProto) -> list[str]:
        if node.op_type == "Shape" or self._are_known(node):
            return []
        return list(node.input[:1] if node.op_type == "CastLike" else node.input)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        if self._are_known(node):
            sizes = self._sizes[node.output[0]].astype(np.int64)
            self._kept[node.output[0]] = _settled(TensorProto.INT64, sizes, None)
            return
        read = self._read(node)
        inputs = [self.get(name) if name else None for name in read]
        results: Sequence[Value | None] = ()
        if all(
            constant is not None or not name for name, constant in zip(read, inputs, strict=True)
        ):
            results = self._run(node, [None if c is None else _seen(node, c) for c in inputs])
        for i, output in enumerate(node.output):
            value = results[i] if i < len(results) else None
            elem_type = self._elem_type(output) or self._type_made(node, value)
            self._kept[output] = None if value is None else _settled(elem_type, value, None)

    def _run(self, node: onnx.NodeProto, values: list[Value | None]) -> Sequence[Value | None]:
        types = [self._elem_type(name) for name in node.input]
        if node.op_type == "CastLike":  # its second operand lends its type, never its value
            values = [*values, np.zeros(())]
        attributes = attributes_of(node)
        if isinstance(attributes.get("value"), TensorProto):
            attributes["value"] = float64(attributes["value"])
        try:
            if self._amount(node, values, attributes) > self._room:
                return ()
            results = ops64.compute(
                node.op_type, self._opset, values, attributes, len(node.output), types=types
            )
            self._room -= sum(result.size for result in results)
            return results
        except Exception:  # a chain that cannot be evaluated is no constant: its readers stay
            return ()

    def _amount(
        self, node: onnx.NodeProto, values: list[Value | None], attributes: dict[str, Any]
    ) -> int:
        """Elements that the node is about to make: by what it is given, and by its known shapes."""
        shapes = [self._types.get(name, TensorType()).shape or () for name in node.output]
        known = [prod(n for n in shape if isinstance(n, int)) for shape in shapes]
        return max(elements_made(node.op_type, values, attributes), *known)

    def _type_made(self, node: onnx.NodeProto, value: Value | None) -> int:
        if value is None:
            return 0
        if value.dtype != np.float64:
            return int(helper.np_dtype_to_tensor_dtype(value.dtype))
        floats = [t for t in map(self._elem_type, node.input) if t in FLOATS]
        stated = [a.t.data_type for a in node.attribute if a.HasField("t")]
        return (stated or floats or [TensorProto.FLOAT])[0]


def _seen(node: onnx.NodeProto, constant: Constant) -> Value:
    """What the node reads of a constant; where that is the shape alone, no weight is loaded."""
    if node.op_type in ("Shape", "Size"):
        return np.broadcast_to(np.zeros(()), constant.shape)
    return constant.value()


def rounded(constant: Constant, name: str) -> TensorProto:
    """The tensor to write: the float64 value, rounded once to its type; integers as they are."""
    tensor = TensorProto()
    round_into(tensor, constant, name)
    return tensor


def round_into(tensor: TensorProto, constant: Constant, name: str) -> None:
    """Let `tensor` be what `rounded` gives."""
    if constant.elem_type not in FLOATS:
        tensor.CopyFrom(numpy_helper.from_array(constant.value(), name))
        return
    value = written(constant.value(), constant.elem_type)
    tensor.Clear()
    tensor.name, tensor.data_type = name, constant.elem_type
    tensor.dims.extend(value.shape)
    tensor.raw_data = value.tobytes()


def _settled(elem_type: int, value: Value, of: str | None) -> Constant:
    value.setflags(write=False)
    return Constant(elem_type, value.shape, lambda: value, of)
