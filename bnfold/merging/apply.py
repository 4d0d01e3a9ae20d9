"""Carry a merge out on the index: one new node, the rest of its sum, and what goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnfold.folding.affine import Array
from bnfold.folding.answers import Put
from bnfold.folding.certificate import Ledger, projected
from bnfold.folding.masters import Role, in_range
from bnfold.graph.constants import Constant
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS
from bnfold.merging.geometry import Layout, Spread
from bnfold.merging.linear import Linear, turned
from bnfold.merging.plan import PRODUCTS, Plan

# weights are made anew when they are written, but for these: a merge of merges would make each
# part as often as it is met on all ways
_KEPT_ELEMENTS = 1 << 16
_FEW_TERMS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The weight and bias of a merged operator as its node holds them, and their type."""

    weight: Array
    bias: Array | None
    elem_type: int

    @property
    def fit(self) -> bool:
        """Whether they can be written: every row is finite and keeps its digits."""
        if self.elem_type not in FLOATS:
            return False
        rows = np.abs(self.weight).max(axis=tuple(range(1, self.weight.ndim)), initial=0.0)
        if not in_range(None, Put(rows), self.elem_type, Role.FACTOR):
            return False
        return self.bias is None or in_range(None, Put(self.bias), self.elem_type, Role.TERM)


def values_of(index: GraphIndex, plan: Plan) -> Values:
    """The merged operator's constants in float64."""
    bias = plan.linear.bias
    known = index.type_of(plan.tree.root.outputs[0]).elem_type
    weights = [c for node in plan.parts for c in map(index.constant, node.inputs) if c is not None]
    elem_type = known or next((c.elem_type for c in weights), 0)
    return Values(plan.linear.kernel(), None if bias is None else bias(), elem_type)


def carry_out(index: GraphIndex, plan: Plan, values: Values, ledger: Ledger) -> Node:
    """Put the merged operator in the place of the root; what nobody reads any more is removed."""
    main = _main(index, plan)
    weight = _weight(index, plan, values, main, ledger)
    bias = None if values.bias is None else _bias(index, plan, values.bias, main, weight, ledger)
    for node in plan.dead:
        index.remove(node)
    made = plan.tree.root.outputs[0]
    target = index.fresh(f"{made}_merged") if plan.rest else made
    node = _operator(index, plan, weight, bias, target)
    node.called = main.name if main is not None and main.name != main.op_type else ""
    _add_rest(index, plan, target, made)
    return node


def _main(index: GraphIndex, plan: Plan) -> Node | None:
    """The part with the most weights lends its name."""

    def size(node: Node) -> int:
        weight = index.constant(node.inputs[1])
        return 0 if weight is None else int(np.prod(weight.shape))

    products = [node for node in reversed(plan.dead) if node.op_type in PRODUCTS]
    return max(products, key=size, default=None)


def _weight(
    index: GraphIndex, plan: Plan, values: Values, main: Node | None, ledger: Ledger
) -> str:
    linear, laid = plan.linear, as_held(plan.linear, values.weight)
    promised, shape = projected(laid), laid.shape
    kept = laid if laid.size <= _KEPT_ELEMENTS or linear.terms > _FEW_TERMS else None
    del laid

    def load() -> Array:
        return as_held(linear, linear.kernel()) if kept is None else kept

    constant = Constant(values.elem_type, shape, load, reads=_reads(index, plan))
    old = main.inputs[1] if main is not None else ""
    name = _named(index, plan, constant, old, "weight")
    ledger[name] = promised
    return name


def as_held(linear: Linear, kernel: Array) -> Array:
    """The kernel as the node's weight."""
    match linear.geometry.layout:
        case Layout.LAST:
            return kernel.T
        case Layout.TRANSPOSED:
            return turned(kernel, linear.geometry.group)
        case Layout.FIRST:
            return kernel


def _bias(
    index: GraphIndex, plan: Plan, bias: Array, main: Node | None, weight: str, ledger: Ledger
) -> str:
    value = np.ascontiguousarray(bias)
    constant = Constant(index.made[weight].elem_type, value.shape, lambda: value)
    old = main.inputs[2] if main is not None and len(main.inputs) > 2 else ""
    name = _named(index, plan, constant, old, "bias")
    ledger[name] = projected(value)
    return name


def _named(index: GraphIndex, plan: Plan, constant: Constant, old: str, what: str) -> str:
    """`conv.weight_merged`, in the place of the constant it is named after."""
    stem = old.removesuffix("_merged") if old in index.made else old
    base = f"{stem}_merged" if old else f"{plan.tree.root.outputs[0]}_merged_{what}"
    return index.make_constant(base, constant, index.made_from.get(old, old))


def _reads(index: GraphIndex, plan: Plan) -> frozenset[str]:
    constants = (index.constant(name) for node in plan.dead for name in node.inputs)
    return frozenset().union(*(c.reads for c in constants if c is not None))


def _operator(index: GraphIndex, plan: Plan, weight: str, bias: str | None, target: str) -> Node:
    root, geometry = plan.tree.root, plan.linear.geometry
    inputs = [plan.base, weight] if bias is None else [plan.base, weight, bias]
    index.types.setdefault(target, index.type_of(root.outputs[0]))
    if geometry.layout is Layout.LAST:
        return _product(index, plan, inputs, target)
    node = index.put(conv_op(plan.linear), inputs, target, behind=root, order=root.order)
    node.edited = conv_attributes(plan.linear)
    return node


def conv_op(linear: Linear) -> str:
    """Conv or ConvTranspose."""
    return "ConvTranspose" if linear.geometry.layout is Layout.TRANSPOSED else "Conv"


def conv_attributes(linear: Linear) -> dict[str, object]:
    """Strides, dilations, pads and group, all said."""
    axes = linear.geometry.axes
    added = [axis.added for axis in axes if isinstance(axis, Spread)]
    return {
        **({"output_padding": added} if added else {}),
        "dilations": [axis.step for axis in axes],
        "group": linear.geometry.group,
        "kernel_shape": [axis.taps for axis in axes],
        "pads": [axis.begin for axis in axes] + [axis.end for axis in axes],
        "strides": [axis.stride for axis in axes],
    }


def _product(index: GraphIndex, plan: Plan, inputs: list[str], target: str) -> Node:
    """A Gemm for matrices, else a MatMul and the bias behind it."""
    root = plan.tree.root
    shape = index.type_of(plan.base).shape
    if len(inputs) == 2 or (shape is not None and len(shape) == 2):
        op_type = "MatMul" if len(inputs) == 2 else "Gemm"
        return index.put(op_type, inputs, target, behind=root, order=root.order)
    product = index.fresh(f"{target}_product")
    index.types[product] = index.type_of(target)
    node = index.put("MatMul", inputs[:2], product, behind=root, order=root.order)
    index.put("Add", [product, inputs[2]], target, behind=root, order=root.order + 2.0**-10)
    return node


def _add_rest(index: GraphIndex, plan: Plan, target: str, made: str) -> None:
    """What did not merge is added to what did, in its old order."""
    so_far, root = target, plan.tree.root
    for i, term in enumerate(plan.rest, 1):
        name = made if i == len(plan.rest) else index.fresh(f"{made}_merged")
        index.types.setdefault(name, index.type_of(made))
        op_type = "Add" if term.sign > 0 else "Sub"
        order = root.order + (i + 1) * 2.0**-10
        index.put(op_type, [so_far, term.name], name, behind=root, order=order)
        so_far = name
