"""Local functions that hold a BatchNorm: they are inlined where that lets it fold.

Each call has weights of its own, so a BatchNorm in a function folds call by call; reports number
the calls. A function stays
as it is where inlining would leave more BatchNorms than it holds, or fold none of them. What can
not be inlined (a function written for another opset than the model) stays as well.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import onnx
from onnx.inliner import inline_selected_functions

from bnfold.folding.reasons import Reason
from bnfold.folding.report import Found, Remaining
from bnfold.folding.spot import MARK, batch_norms, label_of
from bnfold.graph.readers import subgraphs
from bnfold.onnxfile.functions import written_out

logger = logging.getLogger(__name__)
Called = tuple[str, str]
Folding = Callable[[onnx.ModelProto], Found]

MOST_INLINED = 20_000  # nodes: beyond, calls within calls only keep a reader busy


def fold_inlined(model: onnx.ModelProto, fold: Folding, why: dict[str, Remaining]) -> Found | None:
    """Fold a model with some of its functions inlined; None where none is worth it.

    What was found of the BatchNorms in functions that stay is entered in `why`.
    """
    chosen = _holders(model)
    if chosen and (nodes := written_out(model)) > MOST_INLINED:
        logger.warning("functions are not inlined: they would make %d nodes", nodes)
        return None
    while chosen:
        trial = onnx.ModelProto()
        trial.CopyFrom(model)
        _mark(trial)
        if not _inline(trial, chosen):
            return None
        calls = _number(trial)
        found = fold(trial)
        worse = {name for name in chosen if not _worth_it(model, name, found, calls)}
        if not worse:
            _unmark(trial)
            model.CopyFrom(trial)
            return found
        for one in found.remaining:
            label = calls.get(one.map, one.map)
            why.setdefault(label, replace(one, map=label))
        for gone in found.folded:  # alone it would fold, but not all that stand beside it
            if gone.kind == "batchnorm":
                label = calls.get(gone.map, gone.map)
                why.setdefault(label, _too_dear(label))
        logger.debug("not inlined: %s", worse)
        chosen -= worse
    return None


def _too_dear(label: str) -> Remaining:
    reason = Reason.WOULD_COST_MORE
    return Remaining(label, "batchnorm", reason.code, reason.sentence, None, reason.unblock)


def _holders(model: onnx.ModelProto) -> set[Called]:
    """Functions with a BatchNorm in them, or in one that they call."""
    holders = {(f.domain, f.name) for f in model.functions if next(batch_norms(f, ""), None)}
    grown = True
    while grown:
        callers = {
            (f.domain, f.name)
            for f in model.functions
            if any((n.domain, n.op_type) in holders for n in _nodes(f))
        }
        grown = not callers <= holders
        holders |= callers
    return holders


def _nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for _, body in subgraphs(node):
            yield from _nodes(body)


def scope_of(function: onnx.FunctionProto) -> str:
    """How reports call a function."""
    return f"{function.domain}::{function.name}"


def _mark(model: onnx.ModelProto) -> None:
    """Let every node remember its place in the source: inlining moves them."""
    graphs = [("main", model.graph), *((scope_of(f), f) for f in model.functions)]
    for scope, graph in graphs:
        _mark_graph(scope, graph)


def _mark_graph(scope: str, graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    for position, node in enumerate(graph.node):
        node.metadata_props.add(key=MARK, value=label_of(scope, position, node.name))
        for name, body in subgraphs(node):
            _mark_graph(f"{scope}:{position}.{name}", body)


def _number(model: onnx.ModelProto) -> dict[str, str]:
    """Tell copies of one node apart: `place`, `place#2`, ...; each with the place it is of."""
    seen: Counter[str] = Counter()
    calls: dict[str, str] = {}
    for node in _nodes(model.graph):
        for mark in (p for p in node.metadata_props if p.key == MARK):
            place = mark.value
            seen[place] += 1
            if seen[place] > 1:
                mark.value = f"{place}#{seen[place]}"
            calls[mark.value] = place
    return calls


def _unmark(model: onnx.ModelProto) -> None:
    for graph in (model.graph, *model.functions):
        for node in _nodes(graph):
            for place in reversed(range(len(node.metadata_props))):
                if node.metadata_props[place].key == MARK:
                    del node.metadata_props[place]


def _inline(model: onnx.ModelProto, chosen: set[Called]) -> bool:
    """Inline functions in place, without the weights; False where the library refuses."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name or "main"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        light.graph.initializer.add(
            name=tensor.name, data_type=tensor.data_type, dims=list(tensor.dims)
        )
    try:
        inlined = inline_selected_functions(light, sorted(chosen), exclude=False)
    except Exception as error:  # whatever it cannot inline stays a function
        logger.warning("functions are not inlined: %s", error)
        return False
    del model.graph.node[:], model.functions[:]
    model.graph.node.extend(inlined.graph.node)
    model.functions.extend(inlined.functions)
    return True


def _worth_it(model: onnx.ModelProto, name: Called, found: Found, calls: Mapping[str, str]) -> bool:
    """A BatchNorm of it folds at one call at least, and none stays at more calls than one."""
    function = next(f for f in model.functions if (f.domain, f.name) == name)
    own = set(batch_norms(function, scope_of(function)))
    stay = Counter(calls[one.map] for one in found.remaining if calls.get(one.map) in own)
    if any(count > 1 for count in stay.values()):
        return False
    return not own or any(calls.get(one.map) in own for one in found.folded)
