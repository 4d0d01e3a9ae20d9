"""Ask a node's rule what becomes of the maps that reach it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bnfold.folding.answers import Answers, Blocked, Facts
from bnfold.folding.facts import DEFAULT_DOMAINS, facts
from bnfold.folding.reasons import Reason
from bnfold.folding.rules import (
    PULL,
    PULL_MANY,
    PUSH,
    PUSH_MANY,
    Maps,
    foreign,
    microsoft,
    rectified,
)
from bnfold.folding.walls import Manner
from bnfold.graph.index import GraphIndex, Node

logger = logging.getLogger(__name__)

Rule = Callable[[Node, Facts, Maps], Answers | None]


def asked_up(manner: Manner, index: GraphIndex, node: Node, maps: Maps) -> Answers | None:
    """What a node answers to maps on its outputs; None where there is no rule."""
    return _asked(_PULLS[manner], index, node, maps)


def asked_down(manner: Manner, index: GraphIndex, node: Node, maps: Maps) -> Answers | None:
    """What a node answers to maps on its inputs; None where there is no rule."""
    return _asked(_PUSHES[manner], index, node, maps)


MOST_OPERANDS = 512  # each question looks at all of them, and each spot before them asks
# what attributes, sizes and constants that contradict each other raise in numpy
UNREADABLE = (ArithmeticError, AssertionError, LookupError, MemoryError, TypeError, ValueError)


def _asked(rule: Rule, index: GraphIndex, node: Node, maps: Maps) -> Answers | None:
    if len(node.inputs) > MOST_OPERANDS:
        return Blocked(Reason.NOT_YET)
    try:
        return rule(node, facts(index, node), maps)
    except UNREADABLE as error:
        # a node that its own rule cannot read (attributes or sizes that contradict each other)
        # keeps its neighbours as they are; it never ends the run
        logger.warning("%s at %s: %r", node.op_type, node.key, error)
        return Blocked(Reason.NOT_YET)


def _pull_answer(node: Node, seen: Facts, maps: Maps) -> Answers | None:
    if seen.declared_linear and set(maps) == {0}:
        return foreign.cross(seen, maps[0])
    if node.domain in DEFAULT_DOMAINS:
        if node.op_type in PULL_MANY:
            return PULL_MANY[node.op_type](seen, maps)
        if node.op_type in PULL:
            alone = set(maps) == {0}
            return PULL[node.op_type](seen, maps[0]) if alone else Blocked(Reason.NOT_YET)
    if node.domain == microsoft.DOMAIN and node.op_type in microsoft.PULL and set(maps) == {0}:
        return microsoft.PULL[node.op_type](seen, maps[0])
    return None


def _push_answer(node: Node, seen: Facts, maps: Maps) -> Answers | None:
    if seen.declared_linear and set(maps) == {0}:
        return foreign.cross(seen, maps[0])
    if node.domain in DEFAULT_DOMAINS:
        if node.op_type in PUSH_MANY:
            return PUSH_MANY[node.op_type](seen, maps)
        if node.op_type in PUSH:
            if len(maps) > 1:
                return Blocked(Reason.NONLINEAR_NEIGHBOURS)
            ((k, m),) = maps.items()
            return PUSH[node.op_type](seen, m, k)
    if node.domain == microsoft.DOMAIN and node.op_type in microsoft.PUSH and len(maps) == 1:
        ((k, m),) = maps.items()
        return microsoft.PUSH[node.op_type](seen, m, k)
    return None


def _rectifying_pull(node: Node, seen: Facts, maps: Maps) -> Answers | None:
    answers = _pull_answer(node, seen, maps)
    if isinstance(answers, Blocked) and node.op_type in rectified.PULL and set(maps) == {0}:
        return rectified.PULL[node.op_type](seen, maps[0])
    return answers


def _rectifying_push(node: Node, seen: Facts, maps: Maps) -> Answers | None:
    answers = _push_answer(node, seen, maps)
    if isinstance(answers, Blocked) and node.op_type in rectified.PUSH and set(maps) == {0}:
        return rectified.PUSH[node.op_type](seen, maps[0])
    return answers


_PULLS: Mapping[Manner, Rule] = {
    Manner.PLAIN: _pull_answer,
    Manner.RECTIFYING: _rectifying_pull,
}
_PUSHES: Mapping[Manner, Rule] = {
    Manner.PLAIN: _push_answer,
    Manner.RECTIFYING: _rectifying_push,
}
