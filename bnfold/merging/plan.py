"""What may become one operator at a node of the graph, and the best such merge that pays.

For every tensor that several terms of a sum are linear in (or that a chain ends at), the terms
are joined pair by pair, the cheapest result first. All is reckoned from shapes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from bnfold.folding.reasons import Reason
from bnfold.folding.report import Cost
from bnfold.graph.index import GraphIndex, Node
from bnfold.merging import cost
from bnfold.merging.forms import Form, Forms, total
from bnfold.merging.geometry import Layout, diagonal
from bnfold.merging.linear import Linear, identity, scaled
from bnfold.merging.price import price
from bnfold.merging.sums import Term, Tree

Group = tuple[tuple[int, ...], Linear]  # terms by their position, and their sum
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_WORKS = (*PRODUCTS, "AveragePool", "BatchNormalization", "Pad")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One merge: what is computed from `base`, what is left of the sum, which nodes go."""

    tree: Tree
    base: str
    linear: Linear
    chosen: tuple[Term, ...]
    rest: tuple[Term, ...]
    dead: tuple[Node, ...]
    before: Cost
    after: Cost

    @property
    def gain(self) -> tuple[int, int, int]:
        """What is saved: launches, multiply-adds, bytes."""
        b, a = self.before, self.after
        work, moved = b.multiply_adds - a.multiply_adds, b.bytes - a.bytes
        return b.launches - a.launches, work, moved

    @property
    def parts(self) -> tuple[Node, ...]:
        """The nodes that do arithmetic with parameters, or pool or pad."""
        return tuple(node for node in self.dead if node.op_type in _WORKS)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why terms that are linear in one tensor stay apart."""

    reason: Reason
    base: str


def best_plan(index: GraphIndex, forms: Forms, tree: Tree) -> Plan | Objection | None:
    """The merge that saves most, or why there is none; None where nothing meets."""
    plans: list[Plan] = []
    objection: Objection | None = None
    for base, found in _by_base(forms, tree).items():
        whys: list[Reason] = []
        plans += _plans(index, forms, tree, base, found, whys)
        if whys and objection is None:
            objection = Objection(whys[0], base)
    if not plans:
        return objection
    return max(plans, key=lambda plan: plan.gain)


def _by_base(forms: Forms, tree: Tree) -> dict[str, dict[int, Form]]:
    """Which terms are a function of which tensor."""
    found: dict[str, dict[int, Form]] = {}
    for i, term in enumerate(tree.terms):
        for base, form in forms.get(term.name, {}).items():
            weighted = form if isinstance(form, Reason) else scaled(term.sign, form)
            found.setdefault(base, {})[i] = weighted
    for i, term in enumerate(tree.terms):
        for form in list(found.get(term.name, {}).values())[:1]:  # the others tell its channels
            if isinstance(form, Linear):
                g = form.geometry
                own = identity(diagonal(g.inputs, len(g.axes), g.layout))
                found[term.name][i] = scaled(term.sign, own)
    alone = tree.terms[0].name if len(tree.nodes) == 1 and len(tree.terms) == 1 else None
    return {b: f for b, f in found.items() if b != alone and (alone or len(f) > 1)}


def _plans(
    index: GraphIndex,
    forms: Forms,
    tree: Tree,
    base: str,
    found: dict[int, Form],
    whys: list[Reason],
) -> Iterator[Plan]:
    """The plan for all terms at once, then joining two groups at a time while that pays."""
    whys.extend(form for form in found.values() if isinstance(form, Reason))
    groups: list[Group] = [((i,), form) for i, form in found.items() if isinstance(form, Linear)]
    if not groups:
        return
    if len(found) == 1 or len(groups) > 2:
        plan = _plan(index, forms, tree, base, groups, whys)
        if plan is not None:
            yield plan
    while len(groups) > 1:
        joined = [
            (plan.gain, plan, pair)
            for pair in combinations(groups, 2)
            if (plan := _plan(index, forms, tree, base, list(pair), whys)) is not None
        ]
        if not joined:
            return
        _, plan, pair = max(joined, key=lambda one: one[0])
        yield plan
        terms = tuple(sorted(pair[0][0] + pair[1][0]))
        groups = [group for group in groups if group not in pair] + [(terms, plan.linear)]


def _plan(
    index: GraphIndex,
    forms: Forms,
    tree: Tree,
    base: str,
    groups: list[Group],
    whys: list[Reason],
) -> Plan | None:
    form = total(index, base, [form for _, form in groups])
    if isinstance(form, Reason):
        whys.append(form)
        return None
    linear = _as_node(form)
    if linear is None:
        return None
    places = {i for terms, _ in groups for i in terms}
    chosen = tuple(term for i, term in enumerate(tree.terms) if i in places)
    rest = tuple(term for i, term in enumerate(tree.terms) if i not in places)
    dead = _dead(index, tree, base, chosen, rest)
    plan = Plan(tree, base, linear, chosen, rest, dead, cost.NOTHING, cost.NOTHING)
    if len(dead) < 2 or not plan.parts:  # nothing meets
        return None
    before, after = price(index, forms, tree, base, linear, rest, dead)
    plan = replace(plan, before=before, after=after)
    if not _pays(plan):
        whys.append(Reason.WOULD_COST_MORE)
        return None
    if not linear.is_exact:
        whys.append(Reason.PADDING_SHIFT)
        return None
    return plan


def _as_node(linear: Linear) -> Linear | None:
    """The operator as one node says it: MatMul and Gemm have no groups, pads are not negative."""
    geometry = linear.geometry
    if geometry.layout is Layout.LAST:
        return linear if geometry.group == 1 and not geometry.is_diagonal else None
    return linear if geometry.is_expressible else None


def _dead(
    index: GraphIndex,
    tree: Tree,
    base: str,
    chosen: tuple[Term, ...],
    rest: tuple[Term, ...],
) -> tuple[Node, ...]:
    """The nodes that nobody reads any more, the last first: from the terms up to the base."""
    dead = {node.key: node for node in tree.nodes}
    kept = {base, *(term.name for term in rest)}
    agenda: list[tuple[float, int]] = []
    seen: set[int] = set(dead)

    def visit(name: str) -> None:
        node = index.producer_of(name)
        if name in kept or node is None or node.key in seen or index.is_constant(name):
            return
        seen.add(node.key)
        heapq.heappush(agenda, (-node.order, node.key))

    for term in chosen:
        visit(term.name)
    if len(tree.nodes) == 1 and tree.terms[0].name == tree.root.outputs[0]:
        for name in tree.root.inputs:
            visit(name)
    while agenda:
        node = index.nodes[heapq.heappop(agenda)[1]]
        unread = all(
            not index.is_exposed(o) and all(key in dead for key, _ in index.readers.get(o, ()))
            for o in node.outputs
            if o
        )
        if unread:
            dead[node.key] = node
            for name in node.inputs:
                visit(name)
    return tuple(sorted(dead.values(), key=lambda n: -n.order))


def _pays(plan: Plan) -> bool:
    if not cost.pays(plan.before, plan.after):
        return False
    is_chain = len(plan.tree.terms) == 1
    return not is_chain or plan.after.parameters <= plan.before.parameters
