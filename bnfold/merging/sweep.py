"""One sweep of merges over a graph, where nothing folds any more."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from bnfold.folding.asking import UNREADABLE
from bnfold.folding.certificate import Ledger
from bnfold.folding.engine import Allowed
from bnfold.folding.facts import DEFAULT_DOMAINS
from bnfold.folding.place import Swept
from bnfold.folding.reasons import Reason
from bnfold.folding.report import Apart, Fold, Merge
from bnfold.folding.spot import Spot, spots
from bnfold.graph.index import GraphIndex, Node
from bnfold.merging.apply import Values, carry_out, values_of
from bnfold.merging.forms import Forms, forms_of, is_sum
from bnfold.merging.geometry import Layout
from bnfold.merging.plan import Objection, Plan, best_plan
from bnfold.merging.probe import probe
from bnfold.merging.sums import Tree, is_inside, tree_of

logger = logging.getLogger(__name__)
_ROOTS = ("Conv", "ConvTranspose", "AveragePool", "MatMul", "Gemm", "Concat")


def swept(allowed: Allowed, index: GraphIndex, ledger: Ledger, scope: str) -> Swept:
    """Merge once over a whole graph."""
    sweep = _Sweep(allowed, index, ledger, scope)
    ops = {node.op_type for node in index.nodes.values()}
    for layout in Layout:
        if layout is Layout.TRANSPOSED and "ConvTranspose" not in ops:
            continue
        forms = forms_of(index, layout)
        for node in sorted(index.nodes.values(), key=lambda n: -n.order):
            if node.key in index.nodes and _is_root(index, node):
                sweep.at(forms, tree_of(index, node))
    return Swept(tuple(sweep.gone), tuple(sweep.merged), tuple(sweep.apart.values()))


@dataclass(slots=True)
class _Sweep:
    allowed: Allowed
    index: GraphIndex
    ledger: Ledger
    scope: str
    gone: list[Fold] = field(default_factory=list)
    merged: list[Merge] = field(default_factory=list)
    apart: dict[str, Apart] = field(default_factory=dict)

    def at(self, forms: Forms, tree: Tree) -> None:
        """Merge at one node, or note why not."""
        try:
            decided = self._decided(forms, tree)
        except UNREADABLE as error:  # sizes that contradict each other: all stays as it is
            logger.warning("%s: %r", tree.root.outputs[0], error)
            decided = Reason.NOT_YET
        if isinstance(decided, Reason):
            self._keep_apart(tree, decided)
        elif decided is not None:
            self._merge(*decided)

    def _decided(self, forms: Forms, tree: Tree) -> tuple[Plan, Values] | Reason | None:
        plan = best_plan(self.index, forms, tree)
        if plan is None:
            return None
        if isinstance(plan, Objection):
            return plan.reason
        values = values_of(self.index, plan)
        if not values.fit:
            return Reason.NUMBER_RANGE
        if not all(map(self.allowed, self._maps(plan))):
            return None
        probe(self.index, plan, values)
        return plan, values

    def _merge(self, plan: Plan, values: Values) -> None:
        maps = self._maps(plan)
        parts = tuple(self._label(node) for node in reversed(plan.parts))
        node = carry_out(self.index, plan, values, self.ledger)
        at = plan.tree.root.outputs[0]
        logger.debug("%s: %d parts become %s", at, len(parts), node.name)
        self.merged.append(Merge(at, node.name, parts, plan.before, plan.after))
        self.gone += [Fold(s.label, s.kind, "collapsed", (node.name,)) for s in maps]

    def _keep_apart(self, tree: Tree, reason: Reason) -> None:
        at = tree.root.outputs[0]
        parts = tuple(map(self._label, tree.nodes))
        self.apart[at] = Apart(at, reason.code, reason.sentence, parts)

    def _label(self, node: Node) -> str:
        return Spot(node, "affine", 0, self.scope).label if node.proto is not None else node.name

    def _maps(self, plan: Plan) -> list[Spot]:
        """BatchNorms and constant maps of the source that a merge takes in."""
        dead = {node.key for node in plan.dead}
        found = (s for s in spots(self.index, self.scope) if s.node.key in dead)
        return [spot for spot in found if spot.node.proto is not None]


def _is_root(index: GraphIndex, node: Node) -> bool:
    if is_sum(index, node):
        return not is_inside(index, node)
    return node.op_type in _ROOTS and node.domain in DEFAULT_DOMAINS
