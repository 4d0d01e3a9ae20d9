"""float16 and bfloat16 after folding: nodes that fit compute in it, the others in float32.

ONNX Runtime's own converter clamps what overflows and passes what it keeps in float32 through
float16 all the same; here each tensor has a float32 form under its own name and a narrow one
beside it, whichever its readers want. What an operator may take is read from ONNX's schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bnfold.deployment.ranges import Range, ranges
from bnfold.errors import CheckFailed
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.readers import captured_names
from bnfold.show import show
from bnfold.verification.cases import Case

_KINDS = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
_FLOAT = "tensor(float)"


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The model; the nodes kept in float32 with their reason; the number of narrow nodes."""

    model: onnx.ModelProto
    kept: tuple[str, ...]
    nodes: int
    ranges: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Slots:
    """Which inputs and outputs of a node may be narrow."""

    inputs: frozenset[int]
    outputs: frozenset[int]


def narrowed(model: onnx.ModelProto, dtype: str, cases: Sequence[Case]) -> Narrowed:
    """A copy of `model` in `dtype`; inputs and outputs of the model keep their types.

    Raises:
        CheckFailed: not one node is left that fits the type.
    """
    index = GraphIndex(model, ())
    slots = {
        node.key: mine for node in index.nodes.values() if (mine := _slots(node, index, dtype))
    }
    wanted = {name for key, s in slots.items() for name in _tensors(index.nodes[key], s)}
    found = ranges(model, wanted, cases, dtype)
    bad = {name: word for name, one in found.items() if (word := one.verdict(dtype))}
    kept = []
    for key in list(slots):
        node = index.nodes[key]
        lost = [f"{show(name)} {bad[name]}" for name in _tensors(node, slots[key]) if name in bad]
        if lost:
            kept.append(f"{show(node.name)}: {', '.join(lost)}")
            del slots[key]
    if not slots:
        why = kept[0] if kept else f"no operator of it takes {dtype}"
        raise CheckFailed(f"nothing of this model can be {dtype}: {why}")
    rows = [one.to_dict(dtype) for one in _in_order(found)]
    return Narrowed(_Writer(index, slots, _KINDS[dtype]).model(), tuple(kept), len(slots), rows)


def _in_order(found: dict[str, Range]) -> list[Range]:
    return sorted(found.values(), key=lambda one: (one.kind, one.tensor))


def _tensors(node: Node, slots: _Slots) -> Iterator[str]:
    yield from (node.inputs[k] for k in sorted(slots.inputs))
    yield from (node.outputs[k] for k in sorted(slots.outputs))


def _slots(node: Node, index: GraphIndex, dtype: str) -> _Slots | None:
    """None for a node that cannot compute in `dtype`: by its schema, or by its subgraphs."""
    if node.domain not in ("", "ai.onnx") or node.proto is None or captured_names(node.proto):
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, index.opset, "")
    except onnx.defs.SchemaError:
        return None
    free = {
        one.type_param_str
        for one in schema.type_constraints
        if {_FLOAT, f"tensor({dtype})"} <= set(one.allowed_type_strs)
    }

    def narrow(names: Sequence[str], formal: Sequence[Any]) -> tuple[dict[int, str], bool]:
        chosen, every = {}, True
        for k, name in enumerate(names):
            if name and index.type_of(name).elem_type == TensorProto.FLOAT:
                word = formal[min(k, len(formal) - 1)].type_str
                if word in free:
                    chosen[k] = word
                else:
                    every = False
        return chosen, every

    inputs, _ = narrow(node.inputs, schema.inputs)
    outputs, all_outputs = narrow(node.outputs, schema.outputs)
    bound = set(outputs.values()) <= set(inputs.values())  # else an attribute says the type
    if not inputs or not all_outputs or not bound:
        return None
    return _Slots(frozenset(inputs), frozenset(outputs))


class _Writer:
    """The copy with casts where narrow and wide meet."""

    def __init__(self, index: GraphIndex, slots: dict[int, _Slots], kind: int) -> None:
        self._index, self._slots, self._kind = index, slots, kind
        self._names = set(index.names)
        self._narrow: dict[str, str] = {}
        self._made_narrow: set[str] = set()
        self._wants_wide: set[str] = set(index.outputs) | index.captured
        self._wants_narrow: set[str] = set()

    def model(self) -> onnx.ModelProto:
        """Every tensor in the forms that its readers want."""
        order = sorted(self._index.nodes.values(), key=lambda node: node.order)
        for node in order:
            self._note(node)
        source = self._index.model
        made = onnx.ModelProto()
        for field, value in source.ListFields():
            if field.name != "graph":
                self._copy(made, field.name, value)
        graph = made.graph
        for field, value in source.graph.ListFields():
            if field.name not in ("node", "initializer", "value_info"):
                self._copy(graph, field.name, value)
        self._weights(graph)
        for value in source.graph.input:
            if value.name not in self._index.initializers:
                self._meet(graph, value.name)
        for node in order:
            self._node(graph, node)
        return made

    def _copy(self, target: Any, name: str, value: Any) -> None:
        if hasattr(value, "extend"):
            getattr(target, name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(target, name).CopyFrom(value)
        else:
            setattr(target, name, value)

    def _note(self, node: Node) -> None:
        slots = self._slots.get(node.key)
        narrow = slots.inputs if slots else frozenset()
        for k, name in enumerate(node.inputs):
            (self._wants_narrow if k in narrow else self._wants_wide).add(name)
        if slots:
            self._made_narrow |= {node.outputs[k] for k in slots.outputs}

    def _name(self, tensor: str) -> str:
        """The narrow form's name."""
        if tensor not in self._narrow:
            name = f"{tensor}_narrow"
            while name in self._names:
                name += "_"
            self._names.add(name)
            self._narrow[tensor] = name
        return self._narrow[tensor]

    def _weights(self, graph: onnx.GraphProto) -> None:
        listed = {value.name for value in graph.input}
        for weight in self._index.model.graph.initializer:
            name = weight.name
            if name in self._wants_narrow:
                graph.initializer.append(self._converted(weight))
            if name not in self._wants_narrow or name in self._wants_wide or name in listed:
                graph.initializer.append(weight)

    def _converted(self, weight: onnx.TensorProto) -> onnx.TensorProto:
        array = numpy_helper.to_array(weight)
        kind = helper.tensor_dtype_to_np_dtype(self._kind)
        with np.errstate(over="ignore"):
            return numpy_helper.from_array(array.astype(kind), self._name(weight.name))

    def _meet(self, graph: onnx.GraphProto, name: str) -> None:
        """A cast behind what was made, where a reader wants the other form."""
        narrow = name in self._made_narrow
        if narrow and name in self._wants_wide:
            self._cast(graph, self._name(name), name, TensorProto.FLOAT)
        if not narrow and name in self._wants_narrow:
            self._cast(graph, name, self._name(name), self._kind)

    def _cast(self, graph: onnx.GraphProto, source: str, target: str, kind: int) -> None:
        graph.node.append(helper.make_node("Cast", [source], [target], f"{target}_cast", to=kind))

    def _node(self, graph: onnx.GraphProto, node: Node) -> None:
        assert node.proto is not None
        made = graph.node.add()
        made.CopyFrom(node.proto)
        slots = self._slots.get(node.key)
        if slots:
            for k in slots.inputs:
                made.input[k] = self._name(node.inputs[k])
            for k in slots.outputs:
                made.output[k] = self._name(node.outputs[k])
        for name in filter(None, node.outputs):
            self._meet(graph, name)
