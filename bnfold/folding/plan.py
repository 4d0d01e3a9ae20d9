"""Follow a map through the rules until constants have it all, or a reason stops it.

A plan touches nothing. Nodes are visited once, in topological order away from the spot, so that
all that a tensor's readers ask of it is known before its producer is asked. Where a rule has
alternatives (which branch of an Add takes the shift?) they are tried in turn.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Answer, Answers, Blocked, Change, Facts, Passes
from bnfold.folding.facts import DEFAULT_DOMAINS, facts, sharpened, without_rule
from bnfold.folding.reasons import Reason
from bnfold.folding.rules import PULL, PULL_MANY, PUSH, PUSH_MANY, Maps
from bnfold.folding.walls import Refusal, Row, Stop, Walls, more_telling
from bnfold.graph.index import GraphIndex, Node

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 24  # of one search over the alternatives of all rules on its way
_TAKES_PART = ("Gather", "Slice", "Split")  # what sees a part of a tensor alone
MOST_NODES = 500  # of one walk: beyond, the search as a whole would not stay linear


@dataclass(frozen=True, slots=True)
class Step:
    """What one node changes: constants by slot, attributes, a bias behind it, its operator."""

    node: Node
    changes: Mapping[int, Change]
    attributes: Mapping[str, Any]
    bias: Array | None = None
    becomes: str | None = None

    @property
    def makes_gemm(self) -> bool:
        """A product of matrices takes its bias as a Gemm; elsewhere a bias is an Add behind."""
        return self.bias is not None and self.bias.ndim == 2 and self.node.op_type == "MatMul"


@dataclass(slots=True)
class Plan:
    """All that one map's move changes; `moved` are the tensors whose values become others."""

    steps: list[Step] = field(default_factory=list)
    crossed: list[Node] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)

    @property
    def biases(self) -> int:
        """Products that need a bias behind them."""
        return sum(step.bias is not None for step in self.steps)

    @property
    def added(self) -> int:
        """Nodes that the plan adds."""
        return sum(s.bias is not None and not s.makes_gemm for s in self.steps)


class _Choices:
    """One path through the alternatives: which one to take at the n-th fork."""

    def __init__(self, picks: list[int]) -> None:
        self.picks = picks
        self.widths: list[int] = []

    def take(self, answers: Answers) -> Answer:
        if not isinstance(answers, tuple):
            return answers
        fork = len(self.widths)
        self.widths.append(len(answers))
        return answers[self.picks[fork] if fork < len(self.picks) else 0]

    def following(self) -> list[int] | None:
        """The next path, the last fork turned first; None behind the last path."""
        picks = [*self.picks, *[0] * (len(self.widths) - len(self.picks))][: len(self.widths)]
        while picks and picks[-1] + 1 >= self.widths[len(picks) - 1]:
            picks.pop()
        return [*picks[:-1], picks[-1] + 1] if picks else None


def pulled(index: GraphIndex, walls: Walls, spot: Node, slot: int, m: Affine) -> Plan | Refusal:
    """The cheapest plan that moves m up from a spot's input."""
    return _cheapest(lambda choices: _walk_up(index, Row(walls.up), spot, slot, m, choices))


def pushed(index: GraphIndex, walls: Walls, spot: Node, m: Affine) -> Plan | Refusal:
    """The cheapest plan that moves m down from a spot's output."""
    return _cheapest(lambda choices: _walk_down(index, Row(walls.down), spot, m, choices))


def _cheapest(walk: Callable[[_Choices], Plan]) -> Plan | Refusal:
    best: Plan | None = None
    refusal: Refusal | None = None
    picks: list[int] | None = []
    for _ in range(MOST_ATTEMPTS):
        choices = _Choices(picks or [])
        try:
            plan = walk(choices)
        except Stop as stop:
            refusal = stop.refusal if refusal is None else more_telling(refusal, stop.refusal)
        else:
            if best is None or plan.biases < best.biases:
                best = plan
            if plan.biases == 0:
                break
        picks = choices.following()
        if picks is None:
            break
    assert best is not None or refusal is not None
    return best or refusal  # type: ignore[return-value]


Rule = Callable[[Node, Facts, Maps], Answers | None]


def _asked(rule: Rule, index: GraphIndex, node: Node, maps: Maps) -> Answers | None:
    try:
        return rule(node, facts(index, node), maps)
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        # a node that its own rule cannot read (attributes or sizes that contradict each other)
        # keeps its neighbours as they are; it never ends the run
        logger.warning("%s at %s: %r", node.op_type, node.key, error)
        return Blocked(Reason.NOT_YET)


def _pull_answer(node: Node, seen: Facts, maps: Maps) -> Answers | None:
    if node.domain in DEFAULT_DOMAINS:
        if node.op_type in PULL_MANY:
            return PULL_MANY[node.op_type](seen, maps)
        if node.op_type in PULL:
            alone = set(maps) == {0}
            return PULL[node.op_type](seen, maps[0]) if alone else Blocked(Reason.NOT_YET)
    return None


def _push_answer(node: Node, seen: Facts, maps: Maps) -> Answers | None:
    if node.domain in DEFAULT_DOMAINS:
        if node.op_type in PUSH_MANY:
            return PUSH_MANY[node.op_type](seen, maps)
        if node.op_type in PUSH:
            if len(maps) > 1:
                return Blocked(Reason.NONLINEAR_NEIGHBOURS)
            ((k, m),) = maps.items()
            return PUSH[node.op_type](seen, m, k)
    return None


def _settle(
    index: GraphIndex, row: Row, node: Node, answers: Answers | None, choices: _Choices, plan: Plan
) -> Mapping[int, Affine]:
    """Note in the plan what the node's answer changes; return where the map goes on."""
    if answers is None:
        row.end(Refusal(without_rule(index, node), node.name))
    row.passed(node)
    answer = choices.take(answers)
    if isinstance(answer, Blocked):
        raise Stop(sharpened(index, node, answer.reason), node.name)
    if answer.changes or answer.attributes or answer.bias is not None or answer.becomes:
        step = Step(node, answer.changes, answer.attributes, answer.bias, answer.becomes)
        plan.steps.append(step)
    else:
        plan.crossed.append(node)
    if len(plan.steps) + len(plan.crossed) > MOST_NODES:
        raise Stop(Reason.NOT_YET, node.name)
    return answer.to if isinstance(answer, Passes) else {}


Asked = dict[str, dict[tuple[int, int], Affine]]  # of a tensor, by the edge that asks it


def _walk_up(
    index: GraphIndex, row: Row, spot: Node, slot: int, m: Affine, choices: _Choices
) -> Plan:
    plan = Plan()
    asked: Asked = {}
    agenda: list[tuple[float, int]] = []

    def ask(name: str, edge: tuple[int, int], wanted: Affine) -> None:
        asked.setdefault(name, {})[edge] = wanted
        if wanted.is_identity:
            return
        row.enter(name)
        producer = index.producer_of(name)
        if producer is not None:
            heapq.heappush(agenda, (-producer.order, producer.key))
        elif index.is_overridable(name):
            row.end(Refusal(Reason.PARAMETER_OVERRIDABLE, name))
        else:
            row.end(Refusal(Reason.NONLINEAR_NEIGHBOURS, name))

    ask(spot.inputs[slot], (spot.key, slot), m)
    done: set[int] = set()
    while agenda:
        key = heapq.heappop(agenda)[1]
        if key in done:
            continue
        done.add(key)
        node = index.nodes[key]
        agreed = {i: _agreed(index, name, asked) for i, name in enumerate(node.outputs)}
        maps = {i: one for i, one in agreed.items() if one is not None}
        if not maps:
            continue
        plan.moved.extend(node.outputs[i] for i in maps)
        answers = _asked(_pull_answer, index, node, maps)
        for i, part in _settle(index, row, node, answers, choices, plan).items():
            ask(node.inputs[i], (node.key, i), part)
    return plan


def _agreed(index: GraphIndex, name: str, asked: Asked) -> Affine | None:
    """The one map that all readers of a tensor ask of it, or None where nothing changes."""
    edges = asked.get(name)
    if not edges or all(m.is_identity for m in edges.values()):
        return None
    first = next(iter(edges.values()))
    if any(m != first for m in edges.values()):
        raise Stop(Reason.VALUE_USED_ELSEWHERE, name)
    if index.is_exposed(name):
        raise Stop(Reason.VALUE_USED_ELSEWHERE, name)
    for reader, slot in index.value_readers(name):
        if (reader.key, slot) not in edges and not _indifferent(index, reader, slot, first):
            raise Stop(Reason.VALUE_USED_ELSEWHERE, reader.name)
    return first


def _indifferent(index: GraphIndex, reader: Node, slot: int, m: Affine) -> bool:
    """Whether a reader outside of the plan sees only what m leaves alone (another Slice)."""
    if reader.op_type not in _TAKES_PART:
        return False
    answer = _asked(_push_answer, index, reader, {slot: m})
    if not isinstance(answer, Passes) or answer.changes or answer.attributes:
        return False
    return all(part.is_identity for part in answer.to.values())


def _walk_down(index: GraphIndex, row: Row, spot: Node, m: Affine, choices: _Choices) -> Plan:
    plan = Plan()
    arrived: dict[int, dict[int, Affine]] = {}
    agenda: list[tuple[float, int]] = []

    def hand(name: str, carried: Affine) -> None:
        row.enter(name)
        if index.is_exposed(name):
            row.end(Refusal(Reason.VALUE_USED_ELSEWHERE, name))
        for reader, slot in index.value_readers(name):
            if reader.key not in arrived:
                heapq.heappush(agenda, (reader.order, reader.key))
            arrived.setdefault(reader.key, {})[slot] = carried

    if index.is_exposed(spot.outputs[0]):  # the border of the graph: nothing stands there
        raise Stop(Reason.NONLINEAR_NEIGHBOURS, spot.outputs[0])
    hand(spot.outputs[0], m)
    while agenda:
        node = index.nodes[heapq.heappop(agenda)[1]]
        maps = arrived[node.key]
        answers = _asked(_push_answer, index, node, maps)
        for i, part in _settle(index, row, node, answers, choices, plan).items():
            if i < len(node.outputs) and node.outputs[i] and not part.is_identity:
                plan.moved.append(node.outputs[i])
                hand(node.outputs[i], part)
    return plan
