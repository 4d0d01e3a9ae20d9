"""What a merge costs before and after: its nodes one by one, each for the sizes of the base."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bnfold.folding.report import Cost
from bnfold.graph.index import GraphIndex, Node
from bnfold.merging import cost
from bnfold.merging.forms import Forms
from bnfold.merging.geometry import Geometry, Layout, Size
from bnfold.merging.linear import Linear
from bnfold.merging.reading import linear_of, spatial_sizes
from bnfold.merging.sums import Term, Tree


def price(
    index: GraphIndex,
    forms: Forms,
    tree: Tree,
    base: str,
    linear: Linear,
    rest: Sequence[Term],
    dead: Sequence[Node],
) -> tuple[Cost, Cost]:
    """The cost of the nodes that go, and of those that come."""
    geometry = linear.geometry
    sizes = spatial_sizes(index, base, len(geometry.axes))
    width = cost.width_of(index.type_of(tree.root.outputs[0]).elem_type)
    made = cost.made_by(geometry, sizes)
    sums = {node.key for node in tree.nodes if len(tree.terms) > 1}
    before = [
        cost.of_sum(len(node.inputs), made, width)
        if node.key in sums
        else _node(index, forms, node, base, sizes, width)
        for node in dead
    ]
    biased = geometry.outputs if linear.bias is not None else 0
    held = geometry.weights + biased
    after = [cost.of_operator(geometry, cost.read_by(geometry, sizes), made, held, width)]
    after += [cost.of_sum(2, made, width)] * len(rest)
    shape = index.type_of(base).shape
    if geometry.layout is Layout.LAST and biased and (shape is None or len(shape) != 2):
        after.append(cost.of_sum(1, made, width))  # the Add behind a MatMul
    return cost.added(*before), cost.added(*after)


def _node(
    index: GraphIndex, forms: Forms, node: Node, base: str, sizes: Sequence[Size], width: int
) -> Cost:
    """One node between the base and the root: each of its tensors is a function of the base."""
    whole = _geometry(forms, node.outputs[0], base)
    if whole is None:
        return cost.NOTHING
    made = cost.made_by(whole, sizes)
    read = 0
    for name in node.inputs:
        if name == base:
            read += cost.read_by(whole, sizes)
        elif (inner := _geometry(forms, name, base)) is not None:
            read += cost.made_by(inner, sizes)
    own = linear_of(index, node, whole.layout)
    if node.op_type == "Concat":
        return cost.of_copy(made, width)
    if not isinstance(own, tuple):
        return cost.of_sum(len(node.inputs), made, width)
    constants = [c for c in map(index.constant, node.inputs) if c is not None]
    return cost.of_operator(
        own[1].geometry, read, made, sum(prod(c.shape) for c in constants), width
    )


def _geometry(forms: Forms, name: str, base: str) -> Geometry | None:
    form = forms.get(name, {}).get(base)
    return form.geometry if isinstance(form, Linear) else None
