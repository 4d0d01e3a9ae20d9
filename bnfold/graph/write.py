"""Carry an index's edits into its proto: only what changed is touched."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import onnx
from onnx import helper

from bnfold.graph.constants import round_into
from bnfold.graph.index import GraphIndex, Node


def write_back(index: GraphIndex, released: frozenset[str] = frozenset()) -> None:
    """Write changed nodes, new constants and new nodes; remove what the edits left unread.

    `released` are names that bodies of the graph read before.
    """
    dead = _bury(index, index.read_before | released)
    _write_constants(index, dead)
    _write_nodes(index)
    _rename_value_infos(index)


def sweep(index: GraphIndex, released: frozenset[str] = frozenset()) -> bool:
    """Take out the nodes that the edits left unread; whether there were any."""
    before = len(index.nodes)
    _bury(index, index.read_before | released)
    return len(index.nodes) < before


def _bury(index: GraphIndex, read_before: frozenset[str]) -> set[str]:
    """Take out constant chains that nobody reads any more; return the initializers among them.

    What the source itself never read stays: only what an edit left behind goes.
    """
    unread = [name for name in read_before if _is_unread(index, name)]
    dead: set[str] = set()
    while unread:
        name = unread.pop()
        if name in index.initializers:
            dead.add(name)
        node = index.producer_of(name)
        if node is None or not all(not o or _is_unread(index, o) for o in node.outputs):
            continue
        inputs = set(node.inputs)
        index.remove(node)
        unread.extend(i for i in inputs if i and _is_unread(index, i))
    return dead


def _is_unread(index: GraphIndex, name: str) -> bool:
    return not index.readers.get(name) and not index.is_exposed(name)


def _write_constants(index: GraphIndex, dead: set[str]) -> None:
    """New constants take the places of those that nobody reads; further ones are appended."""
    graph = index.model.graph
    places = {name: i for i, name in enumerate(t.name for t in graph.initializer) if name in dead}
    listed = index.model.ir_version < 4  # before IR 4, every initializer is an input too
    read = {name: made for name, made in index.made.items() if index.readers.get(name)}
    # a source is overwritten by the last constant that is made of it, never before another reads it
    last = {s: name for name, c in read.items() for s in (index.made_from[name], *c.reads)}
    for name, constant in read.items():
        source = index.made_from[name]
        place = places.pop(source, None) if last[source] == name else None
        target = graph.initializer.add() if place is None else graph.initializer[place]
        round_into(target, constant, name)
        if listed:
            graph.input.append(
                helper.make_tensor_value_info(name, constant.elem_type, constant.shape)
            )
    for place in sorted(places.values(), reverse=True):
        del graph.initializer[place]
    for place in [i for i, info in enumerate(graph.input) if info.name in dead][::-1]:
        del graph.input[place]


def _write_nodes(index: GraphIndex) -> None:
    graph = index.model.graph
    new: dict[int, list[Node]] = defaultdict(list)
    for node in index.nodes.values():
        if node.proto is None and node.behind is not None:
            new[node.behind].append(node)
    for key in reversed(range(len(graph.node))):
        # each goes right behind the old node: the last first
        for node in sorted(new[key], key=lambda n: n.order, reverse=True):
            made = helper.make_node(node.op_type, node.inputs, node.outputs, name=node.called)
            _set_attributes(made, node.edited)
            graph.node.insert(key + 1, made)
        if key in index.nodes:
            _update(index.nodes[key])
        else:
            del graph.node[key]


def _update(node: Node) -> None:
    proto = node.proto
    assert proto is not None
    if list(proto.input) != node.inputs:
        proto.input[:] = node.inputs
    if list(proto.output) != node.outputs:
        proto.output[:] = node.outputs
    if proto.op_type != node.op_type:
        proto.op_type = node.op_type
    _set_attributes(proto, node.edited)


def _set_attributes(proto: onnx.NodeProto, edited: dict[str, Any]) -> None:
    for name, value in edited.items():
        kept = [i for i, a in enumerate(proto.attribute) if a.name == name]
        made = helper.make_attribute(name, value)
        if kept:
            proto.attribute[kept[0]].CopyFrom(made)
        else:
            proto.attribute.append(made)


def _rename_value_infos(index: GraphIndex) -> None:
    """Type entries follow their tensors' new names; those of tensors that are gone go too."""
    infos = index.model.graph.value_info
    now = {old: new for new, old in index.called_before.items()}
    stated = {info.name for info in infos}
    known = {*index.producer, *index.inputs, *index.initializers}
    for place in reversed(range(len(infos))):
        name = infos[place].name
        if name in known or name not in index.source_names:
            continue
        renamed = now.get(name)
        if renamed is None or renamed in stated or renamed in index.outputs:
            del infos[place]
        else:
            infos[place].name = renamed
