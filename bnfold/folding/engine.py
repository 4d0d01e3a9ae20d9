"""The fold of one graph: spots, plans, their application, until nothing moves any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import onnx

from bnfold.folding import apply
from bnfold.folding.affine import Affine
from bnfold.folding.asking import UNREADABLE
from bnfold.folding.certificate import Ledger, certify
from bnfold.folding.place import Place
from bnfold.folding.plan import Plan, pulled, pushed
from bnfold.folding.reasons import Reason
from bnfold.folding.rebase import rebased
from bnfold.folding.report import Fold, Found, Merge, Outcome, Remaining
from bnfold.folding.retry import Tried
from bnfold.folding.settling import settle
from bnfold.folding.spot import Spot, map_of, spots
from bnfold.folding.walls import FAR, NEAR, Manner, Reach, Refusal, Walls, more_telling
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.write import sweep, write_back

logger = logging.getLogger(__name__)
Allowed = Callable[[Spot], bool]


@dataclass(frozen=True, slots=True)
class Move:
    """A way to take a spot out: the part of its map that goes up, and the part that goes down."""

    outcome: Outcome
    up: Plan | None = None
    down: Plan | None = None

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Up, then down."""
        return tuple(plan for plan in (self.up, self.down) if plan is not None)

    @property
    def biases(self) -> int:
        """Products that need a bias behind them."""
        return sum(plan.biases for plan in self.plans)

    @property
    def added(self) -> int:
        """Nodes that it adds."""
        return sum(plan.added for plan in self.plans)


@dataclass(slots=True)
class _State:
    index: GraphIndex
    walls: Walls = field(default_factory=Walls)
    tried: Tried = field(default_factory=Tried)
    ledger: Ledger = field(default_factory=dict)
    folded: list[Fold] = field(default_factory=list)
    refusals: dict[int, Refusal] = field(default_factory=dict)

    def begin(self, manner: Manner) -> None:
        """Search anew: what ended a search before may not end it now."""
        self.walls, self.tried = Walls(manner), Tried()


def everywhere(_: Spot) -> bool:
    """Every spot may be folded."""
    return True


def fold_graph(model: onnx.ModelProto, place: Place, allowed: Allowed) -> Found:
    """Fold the main graph of a model, in place.

    Spots that are not `allowed` stay where they stand and are not reported: their label is how
    a report calls them, so a part of a fold can be done again. The place's `between` may change
    the graph whenever nothing folds any more (`bnfold.merging`), until it merges nothing.
    """
    state = _State(
        GraphIndex(model, place.variable, place.taken, place.borrowed, place.data, place.linear)
    )
    waiting = _settled(state, [s for s in spots(state.index, place.scope) if allowed(s)])
    merged: list[Merge] = []
    while (swept := place.between(state.index, state.ledger, place.scope)).merged:
        merged.extend(swept.merged)
        state.folded.extend(swept.folded)
        state.begin(Manner.PLAIN)
        waiting = _settled(state, [s for s in waiting if s.node.key in state.index.nodes])
    if place.options.aggressive:
        waiting = _pressed(state, waiting)
    while state.folded and sweep(state.index, place.released):
        here, gone = _parted(state, waiting)
        waiting = _settled(state, here) + gone
    if state.folded or state.ledger or place.released:
        for spot in waiting:
            if spot.kind == "batchnorm" and spot.node.key in state.index.nodes:
                settle(state.index, spot.node, state.ledger)
        write_back(state.index, place.released)
        certify(state.index, state.ledger)
    here, gone = _parted(state, waiting)
    state.folded.extend(Fold(s.label, s.kind, "removed") for s in gone if s.kind == "batchnorm")
    remaining = (_remaining(spot, state) for spot in here if spot.kind == "batchnorm")
    return Found(tuple(state.folded), tuple(remaining), tuple(merged), swept.apart)


def _settled(state: _State, waiting: list[Spot]) -> list[Spot]:
    """Fold until nothing moves any more; return the spots that stay.

    BatchNorms first: the bias in front of one is where its shift may have to go, and a bias that
    has moved into it is gone.
    """
    progress = True
    waiting = sorted(waiting, key=lambda spot: spot.kind != "batchnorm")
    while progress and waiting:
        left = [spot for spot in waiting if not _taken_out(state, spot)]
        progress = len(left) < len(waiting)
        waiting = left + _biases_added(state.index, waiting)
    return waiting


def _parted(state: _State, waiting: list[Spot]) -> tuple[list[Spot], list[Spot]]:
    """Spots that are there still, and those that went with what nobody reads any more."""
    here = [spot for spot in waiting if spot.node.key in state.index.nodes]
    return here, [spot for spot in waiting if spot.node.key not in state.index.nodes]


def _pressed(state: _State, waiting: list[Spot]) -> list[Spot]:
    """`--aggressive`: Relu as Max, then changes of basis; return the spots that stay."""
    state.begin(Manner.RECTIFYING)
    waiting = _settled(state, waiting)
    # the last BatchNorm on a trunk first: what it is read by behind that would block the rest
    left = [spot for spot in reversed(waiting) if not _rebased(state, spot)]
    return _settled(state, left[::-1])


def _rebased(state: _State, spot: Spot) -> bool:
    """Try to make a BatchNorm the basis of its trunk; True if it is gone."""
    index = state.index
    if spot.kind != "batchnorm" or spot.node.key not in index.nodes:
        return False
    m = map_of(index, spot)
    state.walls.reach = Reach(FAR)
    plan = Refusal(m) if isinstance(m, Reason) else rebased(index, state.walls, spot.node, m)
    if isinstance(plan, Refusal):
        return False
    move = Move("rebased", plan)
    if move.added or _objection(index, spot, move) is not None:
        return False
    state.folded.append(_record(state.index, spot, move))
    _carry_out(state, spot, move)
    return True


def _biases_added(index: GraphIndex, known: list[Spot]) -> list[Spot]:
    """Adds that the fold itself put in, which a later fold may have made room for."""
    seen = {spot.node.key for spot in known}
    nodes = (n for n in index.nodes.values() if n.proto is None and n.key not in seen)
    new = [n for n in nodes if n.op_type == "Add" and index.is_constant(n.inputs[1])]
    return [Spot(node, "affine", 0) for node in new]


def _taken_out(state: _State, spot: Spot) -> bool:
    """Try to fold one spot; True if it is gone."""
    node = spot.node
    if state.tried.in_vain(state.index, node):
        return False
    state.index.watch.begin()
    try:
        move = _chosen_move(state, spot)
    except UNREADABLE as error:  # a shape that its constants contradict: it stays as it is
        logger.warning("%s: %r", spot.label, error)
        move = Refusal(Reason.NOT_YET)
    if isinstance(move, Refusal):
        state.refusals[node.key] = move
        state.tried.note(state.index, node)
        return False
    if node.proto is not None:
        state.folded.append(_record(state.index, spot, move))
    logger.debug("%s: %s", spot.label, move.outcome)
    _carry_out(state, spot, move)
    return True


def _chosen_move(state: _State, spot: Spot) -> Move | Refusal:
    m = map_of(state.index, spot)
    return Refusal(m) if isinstance(m, Reason) else _best_move(state, spot, m)


def _best_move(state: _State, spot: Spot, m: Affine) -> Move | Refusal:
    """A move near by before one from afar: a long row of branches is searched in short walks."""
    if m.is_identity or state.index.is_dead(spot.node):
        return _removal(state.index, spot)
    state.walls.reach = Reach(NEAR)
    move = _move_within_reach(state, spot, m)
    if isinstance(move, Move) or not state.walls.reach.exceeded:
        return move
    state.walls.reach = Reach(FAR)
    return _move_within_reach(state, spot, m)


def _move_within_reach(state: _State, spot: Spot, m: Affine) -> Move | Refusal:
    """Up, down, or both ways at once; the one that adds least, the first of equals."""
    index, walls, node, slot = state.index, state.walls, spot.node, spot.slot
    found: list[Move] = []
    refusals: list[Refusal] = []
    shared = False
    for outcome, up, down in _ways(m):
        if shared and outcome == "split" and up is not None and up.is_scale_only:
            continue  # the scale alone would meet the same readers
        up_plan = None if up is None else pulled(index, walls, node, slot, up)
        if isinstance(up_plan, Refusal):
            refusals.append(up_plan)
            shared = shared or up_plan.reason is Reason.VALUE_USED_ELSEWHERE
            continue
        down_plan = None if down is None else pushed(index, walls, node, down)
        if isinstance(down_plan, Refusal):
            refusals.append(down_plan)
            continue
        move = Move(outcome, up_plan, down_plan)
        refusal = _objection(index, spot, move)
        if refusal is not None:
            refusals.append(refusal)
        else:
            found.append(move)
            if move.biases == move.added == 0:
                break
    if found:
        return min(found, key=lambda move: (move.added, move.biases))
    return more_telling(*refusals)


def _ways(m: Affine) -> Iterator[tuple[Outcome, Affine | None, Affine | None]]:
    """Y = s x + t: whole up, whole down, s up and t down, t/s up and s down."""
    yield "pulled", m, None
    yield "pushed", None, m
    if not m.is_scale_only and not m.is_shift_only:
        yield "split", m.scale_part(), m.shift_part()
        if m.invertible:
            earlier = Affine.of(m.scale * 0 + 1, m.shift / m.scale)
            yield "split", earlier, m.scale_part()


def _objection(index: GraphIndex, spot: Spot, move: Move) -> Refusal | None:
    """Why an exact move is not made: it adds nodes, or a constant leaves the number range."""
    allowed = 1 if spot.kind == "batchnorm" else 0
    copies = sum(apply.copies(index, plan) for plan in move.plans)
    if move.added + copies > allowed or (spot.kind == "affine" and move.biases):
        return Refusal(Reason.WOULD_COST_MORE)
    obstacles = (apply.obstacle(index, plan) for plan in move.plans)
    reason = next((one for one in obstacles if one is not None), None)
    return None if reason is None else Refusal(reason)


def _removal(index: GraphIndex, spot: Spot) -> Move | Refusal:
    """An identity goes, unless it is all that stands between two borders of the graph."""
    before, behind = spot.node.inputs[spot.slot], spot.node.outputs[0]
    if spot.kind == "affine" and index.is_dead(spot.node):
        return Refusal(Reason.NONLINEAR_NEIGHBOURS)
    if index.is_exposed(behind) and (index.is_exposed(before) or index.producer_of(before) is None):
        return Refusal(Reason.VALUE_USED_ELSEWHERE, behind)
    return Move("removed")


def _carry_out(state: _State, spot: Spot, move: Move) -> None:
    index, node, slot = state.index, spot.node, spot.slot
    before, behind = node.inputs[slot], node.outputs[0]
    for plan in move.plans:
        apply.absorb(index, plan, state.ledger)
    if move.down is None and (move.up is not None or index.is_exposed(behind)):
        apply.lift_out(index, node, slot)
    else:
        apply.bypass(index, node, slot)
    moved = [name for plan in move.plans for name in plan.moved]
    apply.rename_moved(index, [n for n in moved if move.down is not None or n != before])


def _record(index: GraphIndex, spot: Spot, move: Move) -> Fold:
    changed = [step for plan in move.plans for step in plan.steps]
    steps = [step.node for step in changed]
    merged = bool(steps) and all(_is_map(node) for node in steps) and move.outcome != "rebased"
    outcome: Outcome = "merged" if merged else move.outcome
    if any(step.becomes in ("Max", "Min") and step.node.op_type == "Relu" for step in changed):
        outcome = "rectified"
    crossed = [n for p in move.plans for n in (*p.crossed, *apply.transposes(index, p))]
    through = tuple(n.name for n in crossed)
    return Fold(spot.label, spot.kind, outcome, tuple(n.name for n in steps), through)


def _is_map(node: Node) -> bool:
    return node.op_type in ("BatchNormalization", "Add", "Sub", "Mul", "Div")


def _remaining(spot: Spot, state: _State) -> Remaining:
    refusal = state.refusals[spot.node.key]
    reason = refusal.reason
    return Remaining(
        spot.label, spot.kind, reason.code, reason.sentence, refusal.blocker, reason.unblock
    )
