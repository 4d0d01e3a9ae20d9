"""A BatchNorm behind an If: it goes into both branches, where both take it in.

Tried on copies: unless it folds in either branch, the model stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import onnx

from bnfold.folding.engine import Allowed
from bnfold.folding.facts import DEFAULT_DOMAINS
from bnfold.folding.place import Place
from bnfold.folding.report import Fold, Found
from bnfold.folding.spot import MARK, Spot, label_of
from bnfold.graph.readers import captured_names, subgraphs

Folding = Callable[[onnx.GraphProto, str, Allowed], Found]  # of a body, under its scope's label


def norm_labels(graph: onnx.GraphProto, scope: str) -> Mapping[str, str]:
    """How reports call the BatchNorms of a graph, by the tensor that each gives."""
    labels = {}
    for position, node in enumerate(graph.node):
        if node.op_type == "BatchNormalization" and node.domain in DEFAULT_DOMAINS:
            marks = (p.value for p in node.metadata_props if p.key == MARK)
            labels[node.output[0]] = next(marks, None) or label_of(scope, position, node.name)
    return labels


def into_branches(
    model: onnx.ModelProto, place: Place, labels: Mapping[str, str], found: Found, fold: Folding
) -> Found:
    """Move the BatchNorms that stay behind an If into it, in place; what is found then."""
    if not any(node.op_type == "If" for node in model.graph.node):
        return found
    stay = {one.map for one in found.remaining}
    for norm in [n for n in model.graph.node if labels.get(next(iter(n.output), "")) in stay]:
        branch = _branch_in_front(model.graph, norm)
        if branch is None:
            continue
        label = labels[norm.output[0]]
        absorbers = _moved(model.graph, place, norm, branch, fold)
        if absorbers is not None:
            gone = Fold(label, "batchnorm", "pulled", absorbers, (branch.name or "If",))
            rest = tuple(one for one in found.remaining if one.map != label)
            found = replace(found, folded=(*found.folded, gone), remaining=rest)
    return found


def _branch_in_front(graph: onnx.GraphProto, norm: onnx.NodeProto) -> onnx.NodeProto | None:
    """The If whose output the BatchNorm alone reads, with its parameters known in front of it."""
    if norm.op_type != "BatchNormalization" or sum(n == norm.input[0] for n in _reads(graph)) != 1:
        return None
    ready = {t.name for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "If" and node.domain in DEFAULT_DOMAINS and norm.input[0] in node.output:
            return node if all(name in ready for name in norm.input[1:]) else None
        ready.update(node.output)
    return None


def _reads(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name that is read in a graph, as often as it is."""
    for node in graph.node:
        yield from node.input
        yield from captured_names(node)
    yield from (o.name for o in graph.output)


def _moved(
    graph: onnx.GraphProto,
    place: Place,
    norm: onnx.NodeProto,
    branch: onnx.NodeProto,
    fold: Folding,
) -> tuple[str, ...] | None:
    """Carry the move out; return the nodes that took the map in, or None where one did not."""
    slot = list(branch.output).index(norm.input[0])
    position = next(i for i, node in enumerate(graph.node) if node is branch)
    absorbers: list[str] = []
    copies: dict[str, onnx.GraphProto] = {}
    more = 0
    for name, body in subgraphs(branch):
        scope = f"{place.scope}:{position}.{name}"
        copy = _with_norm(body, slot, norm, place)
        label = label_of(scope, len(copy.node) - 1, norm.name)
        result = fold(copy, scope, partial(_is_called, label))
        gone = next((one for one in result.folded if one.map == label), None)
        if gone is None:
            return None
        absorbers += gone.absorbed_by
        copies[name] = copy
        more += len(copy.node) - len(body.node)
    if len(copies) != 2 or more > 1:  # a bias in each branch costs more than the BatchNorm
        return None
    for attribute in branch.attribute:
        attribute.g.CopyFrom(copies[attribute.name])
    branch.output[slot] = norm.output[0]
    _take_out(graph, norm)
    return tuple(absorbers)


def _is_called(label: str, spot: Spot) -> bool:
    return spot.label == label


def _with_norm(
    body: onnx.GraphProto, slot: int, norm: onnx.NodeProto, place: Place
) -> onnx.GraphProto:
    """A branch with a copy of the BatchNorm behind one of its outputs."""
    copy = onnx.GraphProto()
    copy.CopyFrom(body)
    made = copy.node.add()
    made.CopyFrom(norm)
    del made.metadata_props[:]
    output = copy.output[slot]
    fresh, count = f"{output.name}_normed", 1
    while fresh in place.taken:
        count += 1
        fresh = f"{output.name}_normed_{count}"
    place.taken.add(fresh)
    made.input[0], made.output[0] = output.name, fresh
    output.name = fresh
    return copy


def _take_out(graph: onnx.GraphProto, norm: onnx.NodeProto) -> None:
    """Remove the BatchNorm, what was known of its input, and the constants that it alone read."""
    unread = list(norm.input)
    graph.node.remove(norm)
    while unread:
        name = unread.pop()
        if name in set(_reads(graph)):
            continue
        for infos in (graph.initializer, graph.input, graph.value_info):
            for info in [one for one in infos if one.name == name]:
                infos.remove(info)
        for node in [n for n in graph.node if list(n.output) == [name]]:
            unread += node.input
            graph.node.remove(node)
