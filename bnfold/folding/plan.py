"""Follow a map through the rules until constants have it all, or a reason stops it.

A plan touches nothing. Nodes are visited once, in topological order away from the spot, so that
all that a tensor's readers ask of it is known before its producer is asked. Where a rule has
alternatives (which branch of an Add takes the shift?) they are tried in turn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bnfold.folding.affine import Affine, Array
from bnfold.folding.answers import Absorbed, Answer, Answers, Blocked, Change, Passes, Rim
from bnfold.folding.asking import asked_down, asked_up
from bnfold.folding.facts import sharpened, without_rule
from bnfold.folding.reasons import Reason
from bnfold.folding.walls import Manner, Refusal, Row, Stop, Walls, more_telling
from bnfold.graph.index import GraphIndex, Node

MOST_ATTEMPTS = 24  # of one search over the alternatives of all rules on its way
_TAKES_PART = ("Gather", "SequenceAt", "Slice", "Split")  # what sees a part of a tensor alone


Edge = tuple[Node, int, Affine]  # a reader, its input slot, and the map that comes there


@dataclass(frozen=True, slots=True)
class Step:
    """What one node changes: constants by slot, attributes, a bias behind it, its operator."""

    node: Node
    changes: Mapping[int, Change]
    attributes: Mapping[str, Any]
    bias: Array | None = None
    becomes: str | None = None
    rim: Rim | None = None

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
    asides: list[Edge] = field(default_factory=list)  # maps that go up again, from other inputs

    @property
    def nodes(self) -> set[int]:
        """Keys of all nodes that it changes or crosses."""
        return {node.key for node in (*(step.node for step in self.steps), *self.crossed)}

    @property
    def biases(self) -> int:
        """Products that need a bias behind them."""
        return sum(step.bias is not None for step in self.steps)

    @property
    def added(self) -> int:
        """Nodes that the plan adds."""
        biases = sum(s.bias is not None and not s.makes_gemm for s in self.steps)
        return biases + sum(s.rim is not None for s in self.steps)


class Choices:
    """One path through the alternatives: which one to take at the n-th fork."""

    def __init__(self, picks: list[int]) -> None:
        self.picks = picks
        self.widths: list[int] = []

    def take(self, answers: Answers) -> Answer:
        """The alternative of this path."""
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

    def walk(choices: Choices) -> Plan:
        return walk_up(index, Row(walls.up, walls.manner, walls.reach), spot, slot, m, choices)

    return cheapest(walk)


def pushed(index: GraphIndex, walls: Walls, spot: Node, m: Affine) -> Plan | Refusal:
    """The cheapest plan that moves m down from a spot's output."""

    def walk(choices: Choices) -> Plan:
        return _walk_down(index, Row(walls.down, walls.manner, walls.reach), spot, m, choices)

    return cheapest(walk)


def cheapest(walk: Callable[[Choices], Plan]) -> Plan | Refusal:
    """The plan with the fewest biases over all alternatives on its way."""
    best: Plan | None = None
    refusal: Refusal | None = None
    picks: list[int] | None = []
    for _ in range(MOST_ATTEMPTS):
        choices = Choices(picks or [])
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


def _settle(
    index: GraphIndex, row: Row, node: Node, answers: Answers | None, choices: Choices, plan: Plan
) -> Mapping[int, Affine]:
    """Note in the plan what the node's answer changes; return where the map goes on."""
    if answers is None:
        row.end(Refusal(without_rule(index, node), node.name))
    row.passed(node)
    answer = choices.take(answers)
    if isinstance(answer, Blocked):
        raise Stop(sharpened(index, node, answer.reason), node.name)
    if answer.changes or answer.attributes or answer.bias is not None or answer.becomes:
        rim = answer.rim if isinstance(answer, Absorbed) else None
        step = Step(node, answer.changes, answer.attributes, answer.bias, answer.becomes, rim)
        plan.steps.append(step)
    else:
        plan.crossed.append(node)
    row.reached(len(plan.steps) + len(plan.crossed), node)
    plan.moved.extend(answer.moves)
    if not isinstance(answer, Passes):
        return {}
    plan.asides.extend((node, slot, part) for slot, part in answer.aside.items())
    return answer.to


Asked = dict[str, dict[tuple[int, int], Affine]]  # of a tensor, by the edge that asks it


Outside = Callable[[str, Edge], None]


def used_elsewhere(name: str, edge: Edge) -> None:
    """What a reader outside of the plan is to a plan: its end."""
    raise Stop(Reason.VALUE_USED_ELSEWHERE, edge[0].name)


def walk_up(
    index: GraphIndex,
    row: Row,
    spot: Node,
    slot: int,
    m: Affine,
    choices: Choices,
    outside: Outside = used_elsewhere,
) -> Plan:
    """The plan that moves m up from a spot's input; `outside` says what other readers mean."""
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
        elif name in index.borrowed:
            row.end(Refusal(Reason.VALUE_USED_ELSEWHERE, name))
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
        agreed = {i: _agreed(index, name, asked, outside) for i, name in enumerate(node.outputs)}
        maps = {i: one for i, one in agreed.items() if one is not None}
        if not maps:
            continue
        plan.moved.extend(node.outputs[i] for i in maps)
        answers = asked_up(row.manner, index, node, maps)
        for i, part in _settle(index, row, node, answers, choices, plan).items():
            ask(node.inputs[i], (node.key, i), part)
    return plan


def _agreed(index: GraphIndex, name: str, asked: Asked, outside: Outside) -> Affine | None:
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
            outside(name, (reader, slot, first))
    return first


def _indifferent(index: GraphIndex, reader: Node, slot: int, m: Affine) -> bool:
    """Whether a reader outside of the plan sees only what m leaves alone (another Slice)."""
    if reader.op_type not in _TAKES_PART:
        return False
    answer = asked_down(Manner.PLAIN, index, reader, {slot: m})
    if not isinstance(answer, Passes) or answer.changes or answer.attributes:
        return False
    return all(part.is_identity for part in answer.to.values())


def _walk_down(index: GraphIndex, row: Row, spot: Node, m: Affine, choices: Choices) -> Plan:
    output = spot.outputs[0]
    if index.is_exposed(output):  # the border of the graph: nothing stands there
        raise Stop(Reason.NONLINEAR_NEIGHBOURS, output)
    row.enter(output)
    edges = [(reader, slot, m) for reader, slot in index.value_readers(output)]
    plan = carry_down(index, row, edges, choices)
    for reader, slot, part in plan.asides:
        # walls are kept of searches from one end: this one starts from the middle
        up = walk_up(index, Row({}, row.manner, row.reach), reader, slot, part, choices)
        if up.nodes & (plan.nodes | {spot.key}):
            raise Stop(Reason.VALUE_USED_ELSEWHERE, reader.name)
        plan.steps += up.steps
        plan.crossed += up.crossed
        plan.moved += up.moved
    return plan


def carry_down(index: GraphIndex, row: Row, edges: list[Edge], choices: Choices) -> Plan:
    """The plan that takes in the maps that arrive at these readers."""
    plan = Plan()
    arrived: dict[int, dict[int, Affine]] = {}
    agenda: list[tuple[float, int]] = []

    def hand(reader: Node, slot: int, carried: Affine) -> None:
        if reader.key not in arrived:
            heapq.heappush(agenda, (reader.order, reader.key))
        arrived.setdefault(reader.key, {})[slot] = carried

    for edge in edges:
        hand(*edge)
    while agenda:
        node = index.nodes[heapq.heappop(agenda)[1]]
        answers = asked_down(row.manner, index, node, arrived[node.key])
        for i, part in _settle(index, row, node, answers, choices, plan).items():
            name = node.outputs[i] if i < len(node.outputs) else ""
            if not name or part.is_identity:
                continue
            plan.moved.append(name)
            row.enter(name)
            if index.is_exposed(name):
                row.end(Refusal(Reason.VALUE_USED_ELSEWHERE, name))
            for reader, slot in index.value_readers(name):
                hand(reader, slot, part)
    return plan
