"""Every tensor as a linear operator of the tensors behind it, as far as the graph is linear."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce

from bnfold.folding.asking import UNREADABLE
from bnfold.folding.facts import DEFAULT_DOMAINS
from bnfold.folding.reasons import Reason
from bnfold.graph.index import GraphIndex, Node
from bnfold.merging.geometry import Layout, Size, diagonal
from bnfold.merging.linear import Linear, after, beside, identity, plus, scaled
from bnfold.merging.reading import channels_of, linear_of, spatial_sizes

logger = logging.getLogger(__name__)
MOST_BASES = 10  # of one tensor, the nearest ones: what is further away is never worth it

Form = Linear | Reason  # the operator, or why the two tensors are no such pair
Forms = Mapping[str, Mapping[str, Form]]  # of a tensor, by the tensor that it is a function of
Join = Callable[[Linear, Linear, Sequence[Size]], Form]
SIGNS = {"Add": (1.0, 1.0), "Sub": (1.0, -1.0)}


def is_sum(index: GraphIndex, node: Node) -> bool:
    """An Add, Sub, Sum or Mean of computed tensors alone."""
    if node.domain not in DEFAULT_DOMAINS or len(node.inputs) < 2:
        return False
    if node.op_type not in ("Add", "Sub", "Sum", "Mean"):
        return False
    return not any(index.is_constant(name) or not name for name in node.inputs)


def is_concat(index: GraphIndex, node: Node, layout: Layout) -> bool:
    """A Concat of computed tensors along the channels."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type != "Concat" or len(node.inputs) < 2:
        return False
    known = index.type_of(node.outputs[0]).shape
    if known is None or any(index.is_constant(name) for name in node.inputs):
        return False
    axis = int(node.attributes.get("axis", 1)) % len(known)
    return axis == (len(known) - 1 if layout is Layout.LAST else 1)


def signs(node: Node) -> tuple[float, ...]:
    """What each operand of a sum is multiplied by."""
    weight = 1.0 / len(node.inputs) if node.op_type == "Mean" else 1.0
    return SIGNS.get(node.op_type, (weight,) * len(node.inputs))


def forms_of(index: GraphIndex, layout: Layout) -> Forms:
    """The forms of all tensors, in one pass over the graph."""
    found: dict[str, dict[str, Form]] = {}
    for node in sorted(index.nodes.values(), key=lambda n: n.order):
        try:
            made = _forms_at(index, node, layout, found)
        except UNREADABLE as error:  # attributes or sizes that contradict each other
            logger.warning("%s at %s: %r", node.op_type, node.key, error)
            continue
        if made is not None:
            found[node.outputs[0]] = made
    return found


def _forms_at(
    index: GraphIndex, node: Node, layout: Layout, found: Forms
) -> dict[str, Form] | None:
    """What one node's output is of what stands behind it; None where it is nonlinear."""
    if is_sum(index, node):
        return _of_all(index, node, layout, found, signs(node), plus)
    if is_concat(index, node, layout):
        return _of_all(index, node, layout, found, (1.0,) * len(node.inputs), beside)
    read = linear_of(index, node, layout)
    if read is None:
        return None
    if isinstance(read, Reason):
        behind: dict[str, Form] = bases_of(index, node.inputs[0], layout, found)
        return dict.fromkeys(behind, read)
    name, outer = read
    inner = bases_of(index, name, layout, found, outer)
    nearest = list(inner.items())[:MOST_BASES]
    return {base: _after(index, outer, form, base) for base, form in nearest}


def _after(index: GraphIndex, outer: Linear, form: Form, base: str) -> Form:
    if isinstance(form, Reason):
        return form
    return after(outer, form, spatial_sizes(index, base, len(form.geometry.axes)))


def bases_of(
    index: GraphIndex, name: str, layout: Layout, found: Forms, reader: Linear | None = None
) -> dict[str, Form]:
    """A tensor as a function of itself, then of what stands behind it."""
    known = channels_of(index, name, layout)
    own: dict[str, Form] = {}
    if reader is not None:  # what reads it tells its channels, even where inference is mute
        geometry = reader.geometry
        own[name] = identity(diagonal(geometry.inputs, len(geometry.axes), layout))
    elif known is not None:
        own[name] = identity(diagonal(*known, layout))
    return own | dict(found.get(name, {}))


def _of_all(
    index: GraphIndex,
    node: Node,
    layout: Layout,
    found: Forms,
    by: tuple[float, ...],
    join: Join,
) -> dict[str, Form]:
    """The operands joined, for each tensor of which all are a function."""
    operands = [bases_of(index, name, layout, found) for name in node.inputs]
    made: dict[str, Form] = {}
    for base in operands[0]:
        forms = [forms.get(base) for forms in operands]
        if None not in forms and len(made) < MOST_BASES:
            made[base] = total(index, base, list(_weighted(forms, by)), join)
    return made


def _weighted(forms: list[Form | None], by: tuple[float, ...]) -> Iterator[Form]:
    for form, weight in zip(forms, by, strict=True):
        assert form is not None
        yield form if isinstance(form, Reason) else scaled(weight, form)


def total(index: GraphIndex, base: str, forms: list[Form], join: Join = plus) -> Form:
    """The sum of forms in one base, or what else joins them."""

    def both(a: Form, b: Form) -> Form:
        if isinstance(a, Reason) or isinstance(b, Reason):
            return a if isinstance(a, Reason) else b
        return join(a, b, spatial_sizes(index, base, len(a.geometry.axes)))

    return reduce(both, forms)
