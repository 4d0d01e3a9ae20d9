"""Folding and merging in turn, until nothing moves any more.

A merge makes room for a fold (the BatchNorm behind a merged sum), and a fold for a merge (the
BatchNorm between two products): so they alternate on one index, and what is written is rounded
once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import onnx

from bnfold.folding.certificate import Ledger
from bnfold.folding.engine import Allowed, everywhere
from bnfold.folding.facts import DEFAULT_DOMAINS
from bnfold.folding.model import fold_in_place
from bnfold.folding.reasons import Reason
from bnfold.folding.report import Apart, Fold, FoldReport, Merge, Options
from bnfold.folding.spot import Spot, label_of, spots
from bnfold.graph.index import GraphIndex, Node
from bnfold.merging.apply import carry_out, values_of
from bnfold.merging.forms import Forms, forms_of, is_sum
from bnfold.merging.geometry import Layout
from bnfold.merging.plan import Objection, Plan, best_plan
from bnfold.merging.probe import probe
from bnfold.merging.sums import Tree, is_inside, tree_of

logger = logging.getLogger(__name__)
_ROOTS = ("Conv", "AveragePool", "MatMul", "Gemm")


def folded_in_place(
    model: onnx.ModelProto, options: Options, allowed: Allowed = everywhere
) -> FoldReport:
    """Fold a model that the caller owns, and merge where the options say so.

    A merge that takes in a map that is not `allowed` is not made.
    """
    if not options.reparam:
        return fold_in_place(model, options, allowed)
    merging = _Merging(allowed)
    report = fold_in_place(model, options, allowed, merging.sweep)
    return replace(report, merged=tuple(merging.merged), apart=tuple(merging.apart.values()))


@dataclass(slots=True)
class _Merging:
    allowed: Allowed
    merged: list[Merge] = field(default_factory=list)
    apart: dict[str, Apart] = field(default_factory=dict)

    def sweep(self, index: GraphIndex, ledger: Ledger) -> list[Fold] | None:
        """Merge once over the whole graph; return the maps that went, None if nothing merged."""
        gone: list[Fold] = []
        before = len(self.merged)
        for name in index.source_names & self.apart.keys():  # what it said of this graph before
            del self.apart[name]
        for layout in Layout:
            forms = forms_of(index, layout)
            for node in sorted(index.nodes.values(), key=lambda n: -n.order):
                if node.key in index.nodes and _is_root(index, node):
                    gone += self._at(index, forms, tree_of(index, node), ledger)
        return gone if len(self.merged) > before else None

    def _at(self, index: GraphIndex, forms: Forms, tree: Tree, ledger: Ledger) -> list[Fold]:
        plan = best_plan(index, forms, tree)
        if plan is None:
            return []
        if isinstance(plan, Objection):
            self._keep_apart(tree, plan.reason)
            return []
        if not plan.linear.is_exact:
            self._keep_apart(tree, Reason.PADDING_SHIFT)
            return []
        values = values_of(index, plan)
        if not values.fit:
            self._keep_apart(tree, Reason.NUMBER_RANGE)
            return []
        maps = _maps(index, plan)
        if not all(map(self.allowed, maps)):
            return []
        probe(index, plan, values)
        parts = tuple(_label(node) for node in reversed(plan.parts))
        node = carry_out(index, plan, values, ledger)
        at = tree.root.outputs[0]
        logger.debug("%s: %d parts become %s", at, len(parts), node.name)
        self.merged.append(Merge(at, node.name, parts, plan.before, plan.after))
        return [Fold(s.label, s.kind, "collapsed", (node.name,)) for s in maps]

    def _keep_apart(self, tree: Tree, reason: Reason) -> None:
        at = tree.root.outputs[0]
        self.apart[at] = Apart(at, reason.code, reason.sentence, tuple(map(_label, tree.nodes)))


def _is_root(index: GraphIndex, node: Node) -> bool:
    if is_sum(index, node):
        return not is_inside(index, node)
    return node.op_type in _ROOTS and node.domain in DEFAULT_DOMAINS


def _label(node: Node) -> str:
    return label_of("main", node.key, node.proto.name) if node.proto is not None else node.name


def _maps(index: GraphIndex, plan: Plan) -> list[Spot]:
    """BatchNorms and constant maps of the source that a merge takes in."""
    dead = {node.key for node in plan.dead}
    return [s for s in spots(index, "main") if s.node.key in dead and s.node.proto is not None]
