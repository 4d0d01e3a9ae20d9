"""A merge is tried before it is made: the nodes as they stand, and the new one, on one input.

The old nodes are computed by `ops64` from their own attributes and constants, so that neither
the algebra of taps nor that of weights is asked twice. The input is as small as every tap being
met allows; where even that is dear, only the algebra vouches.
"""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto

from bnfold import ops64
from bnfold.errors import BnfoldError
from bnfold.folding.affine import Array
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS
from bnfold.merging.apply import Values, as_held, conv_attributes, conv_op
from bnfold.merging.geometry import Axis, Geometry, Layout
from bnfold.merging.plan import Plan
from bnfold.merging.reading import spatial_sizes

MOST_WORK = 1 << 27  # multiply-adds of one trial
# float64 has 2^-53; sums of some thousand terms, and two orders of doing them, lose a few digits
TOLERANCE = 2.0**-34
# a border written as constants carries the roundings of its type (see `frames`), added up over taps
BORDER = 64
_FRAMING = ("Concat", "ScatterElements", "ScatterND", "Where")


def probe(index: GraphIndex, plan: Plan, values: Values) -> None:
    """Compare both ways of computing the root.

    Raises:
        BnfoldError: they differ, a bug of ours: nothing may be written.
    """
    x = _input(index, plan)
    if x is None:
        return
    want = _as_it_stands(index, plan, x)
    got, size = _merged(plan, values, x)
    if (
        want.shape != got.shape
        or not (np.abs(want - got) <= _tolerance(index, plan, values) * size).all()
    ):
        raise BnfoldError(
            "a merged operator is not the sum of its parts",
            where=plan.tree.root.outputs[0],
            hint="please report it with the model; nothing was written",
        )


def _input(index: GraphIndex, plan: Plan) -> Array | None:
    geometry = plan.linear.geometry
    rng = np.random.default_rng(0)
    if geometry.layout is Layout.LAST:
        shape = index.type_of(plan.base).shape
        return rng.standard_normal((3,) * (len(shape or (0, 0)) - 1) + (geometry.inputs,))
    known = spatial_sizes(index, plan.base, len(geometry.axes))
    extents = [_extent(axis, n) for axis, n in zip(geometry.axes, known, strict=True)]
    # these may count rows, from the far end too
    cut = _is_framed(index, plan) or any(node.op_type == "Slice" for node in _between(index, plan))
    sizes = [e if n is None or not cut else n for e, n in zip(extents, known, strict=True)]
    batch = (index.type_of(plan.base).shape or (1,))[0] if _is_framed(index, plan) else 1
    if (
        not isinstance(batch, int)
        or batch * prod(sizes) * _dearest(index, plan, geometry) > MOST_WORK
    ):
        return None
    return rng.standard_normal((batch, geometry.inputs, *sizes))


def _is_framed(index: GraphIndex, plan: Plan) -> bool:
    """Whether a border of constants, made for one size, lies between."""
    return any(
        node.op_type in _FRAMING and any(map(index.is_constant, node.inputs))
        for node in _between(index, plan)
    )


def _tolerance(index: GraphIndex, plan: Plan, values: Values) -> float:
    rounding = FLOATS[values.elem_type].epsilon
    return max(TOLERANCE, BORDER * rounding) if _is_framed(index, plan) else TOLERANCE


def _extent(axis: Axis, n: int | None) -> int:
    """Long enough that every tap meets real values; where the size is known, alike modulo stride.

    What SAME padding adds, and whether two grids agree, hangs on the size by its remainder alone.
    """
    least = max(axis.last, 0) - min(axis.first, 0) + 2 * axis.stride
    if n is None:
        return least
    return n if n <= least else least + (n - least) % axis.stride


def _dearest(index: GraphIndex, plan: Plan, geometry: Geometry) -> int:
    weights = [index.constant(node.inputs[1]) for node in plan.parts if len(node.inputs) > 1]
    return max(geometry.weights, *(prod(c.shape) for c in weights if c is not None), 1)


def _as_it_stands(index: GraphIndex, plan: Plan, x: Array) -> Array:
    """The chosen terms as the graph makes them of the base, added up."""
    known: dict[str, Array] = {plan.base: x}
    for node in _between(index, plan):
        constants = [None if name in known else index.constant(name) for name in node.inputs]
        values = [
            known.get(name) if constant is None else constant.value()
            for name, constant in zip(node.inputs, constants, strict=True)
        ]
        types = [TensorProto.DOUBLE] * len(values)
        known[node.outputs[0]] = ops64.compute(
            node.op_type, index.opset, values, dict(node.attributes), 1, types=types
        )[0]
    return np.asarray(sum(term.sign * known[term.name] for term in plan.chosen))


def _between(index: GraphIndex, plan: Plan) -> list[Node]:
    """The nodes on all ways from the base to the chosen terms, in order."""
    found: dict[int, Node] = {}
    pending = [term.name for term in plan.chosen]
    while pending:
        name = pending.pop()
        node = index.producer_of(name)
        if name == plan.base or node is None or index.is_constant(name):
            continue
        if node.key not in found:
            found[node.key] = node
            pending.extend(node.inputs)
    return sorted(found.values(), key=lambda n: n.order)


def _merged(plan: Plan, values: Values, x: Array) -> tuple[Array, Array]:
    """The new node's result, and the sum of the magnitudes that went into it."""
    geometry = plan.linear.geometry
    out = []
    for a, w in ((x, values.weight), (np.abs(x), np.abs(values.weight))):
        if geometry.layout is Layout.LAST:
            made = a @ w.T
        else:
            attributes, weight = conv_attributes(plan.linear), as_held(plan.linear, w)
            (made,) = ops64.compute(conv_op(plan.linear), 11, [a, weight], attributes, 1)
        out.append(made)
    if values.bias is not None:
        lay = values.bias.reshape(-1, *[1] * len(geometry.axes))
        out = [out[0] + lay, out[1] + np.abs(lay)]
    return out[0], out[1]
