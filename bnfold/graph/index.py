"""One graph of a ModelProto that can be read and edited without losing anything.

The index stands beside the proto: nodes by key (their position in the source), producers,
readers, order, constants. Editing changes the index alone; `bnfold.graph.write` carries the
changes into the proto. Node names mean nothing here: many real files leave them empty.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from bnfold.graph.constants import Constant, attributes_of
from bnfold.graph.readers import captured_names, has_body, nested_names, reads_shape_alone
from bnfold.graph.shapes import TensorType
from bnfold.graph.steering import known_before
from bnfold.graph.watch import Watch, readers_of
from bnfold.onnxfile.external import IN_MEMORY, DataFiles


@dataclass(slots=True, eq=False)
class Node:
    """One node. `order` is its place in a topological order; `proto` is None for a new node."""

    key: int
    op_type: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    order: float
    proto: onnx.NodeProto | None
    behind: int | None = None  # a new node stands behind this one in the file
    called: str = ""  # the name of a new node
    edited: dict[str, Any] = field(default_factory=dict)  # attributes that differ from the proto's
    parsed: dict[str, Any] | None = None

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes as Python values, edits included."""
        if self.parsed is None:
            self.parsed = attributes_of(self.proto) if self.proto is not None else {}
        return {**self.parsed, **self.edited} if self.edited else self.parsed

    @property
    def name(self) -> str:
        """The name in the file, or the operator's where that is empty."""
        return (self.proto.name if self.proto is not None else self.called) or self.op_type


class GraphIndex:
    """Producers, readers, constants and types of a model's main graph, kept true under edits.

    `taken` holds names that new ones avoid; `borrowed` are tensors around a body: they stay;
    `data` holds initializers that are not in memory; `linear` are operators ("domain::Op").
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        variable: Iterable[str],
        taken: set[str] | None = None,
        borrowed: frozenset[str] = frozenset(),
        data: DataFiles = IN_MEMORY,
        linear: frozenset[str] = frozenset(),
    ) -> None:
        graph = model.graph
        self.model = model
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.variable = frozenset(variable)
        self.borrowed = borrowed
        self.linear = linear
        self.inputs = {i.name for i in graph.input}
        self.outputs = {o.name for o in graph.output}
        self.initializers = {i.name: i for i in graph.initializer}
        self.sparse = {i.values.name for i in graph.sparse_initializer}
        self.nodes: dict[int, Node] = {}
        self.producer: dict[str, tuple[int, int]] = {}
        # edges (node key, input slot) in order; a dict, for it forgets one in constant time
        self.readers: dict[str, dict[tuple[int, int], None]] = defaultdict(dict)
        self.made: dict[str, Constant] = {}  # constants that the fold made, by their fresh name
        self.made_from: dict[str, str] = {}  # and the constant whose place each takes
        self.called_before: dict[str, str] = {}  # names in the source of tensors renamed since
        self.watch = Watch()
        nested: set[str] = set()
        captures: dict[int, set[str]] = {}
        for key, proto in enumerate(graph.node):
            inputs, outputs = list(proto.input), list(proto.output)
            self._add(Node(key, proto.op_type, proto.domain, inputs, outputs, float(key), proto))
            if has_body(proto):
                captures[key] = captured_names(proto)
                nested |= nested_names(proto)
        self.captured = set().union(*captures.values())
        self._next_key, self._counted = len(graph.node), Counter[str]()
        in_order = self._sort(captures)
        names = {*self.inputs, *self.initializers, *self.producer, *self.sparse, *nested}
        self.source_names = frozenset(names)
        self.names: set[str] = set() if taken is None else taken
        self.names |= names
        self.read_before = frozenset(self.readers)
        self.types, self.constants = known_before(
            model, in_order, self.initializers, self.variable, self.opset, data
        )

    # -- reading

    def constant(self, name: str) -> Constant | None:
        """The constant of that name, of the source or made by the fold."""
        self.watch.read.add(name)
        return self.made.get(name) or (self.constants.get(name) if name else None)

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is known before run time."""
        self.watch.read.add(name)
        return name in self.made or name in self.constants

    def type_of(self, name: str) -> TensorType:
        """Element type and shape, as far as known."""
        self.watch.read.add(name)
        return self.types.get(name, TensorType())

    def is_overridable(self, name: str) -> bool:
        """An initializer that callers may feed another value for."""
        return name in self.variable and name in self.initializers

    def origin(self, name: str) -> str:
        """The tensor at the top of the row of one-input nodes that makes this one."""
        for _ in range(16):
            node = self.producer_of(name)
            if node is None or len(node.inputs) != 1:
                break
            name = node.inputs[0]
        return name

    def producer_of(self, name: str) -> Node | None:
        """The node that computes a tensor, or None for inputs and initializers."""
        self.watch.read.add(name)
        found = self.producer.get(name)
        if found is None:
            return None
        self.watch.read.add(found[0])
        return self.nodes[found[0]]

    def value_readers(self, name: str) -> Iterator[tuple[Node, int]]:
        """Nodes that read a tensor's values, not its shape or type alone, with the input slot."""
        self.watch.read.add(readers_of(name))
        for key, slot in self.readers.get(name, ()):
            node = self.nodes[key]
            if not reads_shape_alone(node.op_type, node.domain, slot):
                yield node, slot

    def has_several_readers(self, name: str) -> bool:
        """Whether more than one input reads a tensor."""
        self.watch.read.add(readers_of(name))
        return len(self.readers.get(name, ())) > 1

    def is_dead(self, node: Node) -> bool:
        """Nobody reads any of its outputs."""
        self.watch.read.update(map(readers_of, node.outputs))
        return not any(self.readers.get(o) or self.is_exposed(o) for o in node.outputs if o)

    def is_exposed(self, name: str) -> bool:
        """An output of the graph, or captured by a nested graph: its values may not change."""
        return name in self.outputs or name in self.captured

    # -- editing

    def fresh(self, base: str) -> str:
        """A name derived from `base` that nothing in the model bears yet."""
        name = base
        while name in self.names or name in self.captured:
            self._counted[base] += 1  # a number once taken stays so: none is tried twice
            name = f"{base}_{self._counted[base] + 1}"
        self.names.add(name)
        return name

    def set_input(self, node: Node, slot: int, name: str) -> None:
        """Let a node read another tensor at a slot; missing slots before it become empty."""
        while len(node.inputs) <= slot:
            node.inputs.append("")
        self.watch.touch(node.key, readers_of(node.inputs[slot]), readers_of(name))
        self._forget_reader(node.inputs[slot], (node.key, slot))
        node.inputs[slot] = name
        if name:
            self.readers[name][node.key, slot] = None

    def rename(self, old: str, new: str) -> None:
        """Give a computed tensor another name, at its producer and at all its readers."""
        key, slot = self.producer.pop(old)
        self.watch.touch(key, old, new)
        self.nodes[key].outputs[slot] = new
        self.producer[new] = (key, slot)
        self.types.setdefault(new, self.type_of(old))
        self.called_before[new] = self.called_before.pop(old, old)
        self.redirect(old, new)

    def split_output(self, node: Node, slot: int, inner: str) -> None:
        """Rename an output at its producer alone: its readers await a new node in between."""
        outer = node.outputs[slot]
        self.watch.touch(node.key, outer, inner)
        del self.producer[outer]
        node.outputs[slot] = inner
        self.producer[inner] = (node.key, slot)
        self.types[inner] = self.type_of(outer)

    def redirect(self, old: str, new: str) -> None:
        """Let every reader of one tensor read another."""
        self.watch.touch(readers_of(old), readers_of(new))
        for key, slot in self.readers.pop(old, {}):
            self.watch.touch(key)
            self.nodes[key].inputs[slot] = new
            self.readers[new][key, slot] = None

    def remove(self, node: Node) -> None:
        """Take a node out; its outputs must have no readers left."""
        self.watch.touch(node.key, *node.outputs, *map(readers_of, node.inputs))
        for slot, name in enumerate(node.inputs):
            self._forget_reader(name, (node.key, slot))
        for name in node.outputs:
            self.producer.pop(name, None)
        del self.nodes[node.key]

    def insert_behind(self, node: Node, op_type: str, inputs: list[str], output: str) -> Node:
        """A new node that stands right behind another one."""
        return self.put(op_type, inputs, output, behind=node, order=node.order + 0.5)

    def put(
        self, op_type: str, inputs: list[str], output: str, *, behind: Node, order: float
    ) -> Node:
        """A new node at a place in the order, written behind another one, which may be gone."""
        self._next_key += 1
        at = behind.key if behind.proto is not None else behind.behind
        new = Node(self._next_key, op_type, "", inputs, [output], order, None, behind=at)
        self._add(new)
        self.watch.touch(new.key, *new.outputs, *map(readers_of, new.inputs))
        return new

    def make_constant(self, base: str, constant: Constant, instead_of: str) -> str:
        """Register a new constant under a fresh name; it takes the place of another, or of none."""
        name = self.fresh(base)
        self.made_from[name] = instead_of
        self.made[name] = constant
        self.types[name] = TensorType(constant.elem_type, constant.shape)
        return name

    def remake_constant(self, name: str, constant: Constant) -> None:
        """Another value for a constant that the fold has made, and that one node reads."""
        self.watch.touch(name)
        self.made[name] = constant
        self.types[name] = TensorType(constant.elem_type, constant.shape)

    def change(self, node: Node, op_type: str, attributes: Mapping[str, Any]) -> None:
        """Let a node be another operator, or have other attributes."""
        self.watch.touch(node.key)
        node.op_type = op_type
        node.edited.update(attributes)

    def _add(self, node: Node) -> None:
        self.nodes[node.key] = node
        for slot, name in enumerate(node.outputs):
            if name:
                self.producer[name] = (node.key, slot)
        for slot, name in enumerate(node.inputs):
            if name:
                self.readers[name][node.key, slot] = None

    def _forget_reader(self, name: str, edge: tuple[int, int]) -> None:
        if name:
            del self.readers[name][edge]

    def _sort(self, captures: Mapping[int, set[str]]) -> list[onnx.NodeProto]:
        """Set every node's `order`; files need not be sorted. Returns the protos in order."""
        readers: dict[str, set[int]] = {n: {k for k, _ in r} for n, r in self.readers.items()}
        for key, names in captures.items():
            for name in names:
                readers.setdefault(name, set()).add(key)
        waits = dict.fromkeys(self.nodes, 0)
        for name in self.producer:
            for key in readers.get(name, ()):
                waits[key] += 1
        ready = [key for key, count in waits.items() if count == 0]
        heapq.heapify(ready)
        protos: list[onnx.NodeProto] = []
        while ready:
            node = self.nodes[heapq.heappop(ready)]
            node.order = float(len(protos))
            assert node.proto is not None
            protos.append(node.proto)
            for name in node.outputs:
                for key in readers.get(name, ()):
                    waits[key] -= 1
                    if waits[key] == 0:
                        heapq.heappush(ready, key)
        return protos
