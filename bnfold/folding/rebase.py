"""Change of basis: a trunk is rescaled so that one BatchNorm on it becomes the identity.

Its map m goes up into the producers although others read the trunk too: they get the inverse of
m, and must take it in whole (other BatchNorms do, and products without padding).
"""

from __future__ import annotations

import numpy as np

from bnfold.folding.affine import Affine
from bnfold.folding.plan import Choices, Edge, Plan, carry_down, cheapest, walk_up
from bnfold.folding.reasons import Reason
from bnfold.folding.walls import Refusal, Row, Stop, Walls
from bnfold.graph.index import GraphIndex, Node

# The trunk then holds sx + t, and its readers subtract t again. A shift of up to 2^4 times what
# the trunk itself holds costs them at most four more bits of rounding error.
MOST_SHIFT = 16.0


def rebased(index: GraphIndex, walls: Walls, norm: Node, m: Affine) -> Plan | Refusal:
    """The plan that makes a BatchNorm's map the basis of the tensor it reads."""
    if m.is_identity:  # it stands between two borders of the graph, or it would be gone
        return Refusal(Reason.VALUE_USED_ELSEWHERE, norm.outputs[0])
    if not m.invertible or not _is_tame(index, norm, m):
        return Refusal(Reason.VALUE_USED_ELSEWHERE, norm.inputs[0])
    return cheapest(lambda choices: _walk(index, walls, norm, m, choices))


def _is_tame(index: GraphIndex, norm: Node, m: Affine) -> bool:
    """Whether t/s stays within what the trunk holds, by the BatchNorm's own statistics."""
    mean, var = (index.constant(name) for name in norm.inputs[3:5])
    if mean is None or var is None:
        return False
    held = np.sqrt(np.abs(var.value()) + mean.value() ** 2).reshape(-1)
    offset = np.abs(m.shift / m.scale).reshape(-1)
    return bool((offset <= MOST_SHIFT * held).all())


def _walk(index: GraphIndex, walls: Walls, norm: Node, m: Affine, choices: Choices) -> Plan:
    others: list[Edge] = []

    def read_besides(_: str, edge: Edge) -> None:
        reader, slot, moved = edge
        if not moved.invertible:
            raise Stop(Reason.VALUE_USED_ELSEWHERE, reader.name)
        others.append((reader, slot, moved.inverse()))

    # walls are kept of searches in which another reader ends the walk: this one has its own
    up = walk_up(index, Row({}, walls.manner, walls.reach), norm, 0, m, choices, read_besides)
    down = carry_down(index, Row({}, walls.manner, walls.reach), others, choices)
    above = {node.key for node in _nodes(up)}
    if norm.key in above or any(node.key in above or node is norm for node in _nodes(down)):
        raise Stop(Reason.VALUE_USED_ELSEWHERE, norm.inputs[0])
    return Plan(up.steps + down.steps, up.crossed + down.crossed, up.moved + down.moved)


def _nodes(plan: Plan) -> list[Node]:
    return [*(step.node for step in plan.steps), *plan.crossed]
