"""A tree of Adds and Subs as one sum of terms."""

from __future__ import annotations

from dataclasses import dataclass

from bnfold.graph.index import GraphIndex, Node
from bnfold.merging.forms import is_sum, signs


@dataclass(frozen=True, slots=True)
class Term:
    """One tensor of a sum, and the sign that it enters with."""

    sign: float
    name: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A root with the sums below it that nothing else reads, and the terms at its leaves."""

    root: Node
    nodes: tuple[Node, ...]
    terms: tuple[Term, ...]


def tree_of(index: GraphIndex, root: Node) -> Tree:
    """The terms of a sum in the order of the file; any other node is its own only term."""
    if not _is_plain(index, root):
        return Tree(root, (root,), (Term(1.0, root.outputs[0]),))
    nodes: list[Node] = []
    terms: list[Term] = []
    pending = [(1.0, root)]
    while pending:
        sign, node = pending.pop(0)
        nodes.append(node)
        for by, name in zip(signs(node), node.inputs, strict=True):
            below = index.producer_of(name)
            if below is not None and _is_plain(index, below) and _is_read_once(index, name):
                pending.append((sign * by, below))
            else:
                terms.append(Term(sign * by, name))
    return Tree(root, tuple(nodes), tuple(terms))


def _is_plain(index: GraphIndex, node: Node) -> bool:
    """A sum whose operands weigh 1 or -1."""
    return node.op_type != "Mean" and is_sum(index, node)


def _is_read_once(index: GraphIndex, name: str) -> bool:
    return len(index.readers[name]) == 1 and not index.is_exposed(name)


def is_inside(index: GraphIndex, node: Node) -> bool:
    """Whether a sum belongs to the tree of another one."""
    if not _is_plain(index, node) or not _is_read_once(index, node.outputs[0]):
        return False
    ((key, _),) = index.readers[node.outputs[0]]
    return _is_plain(index, index.nodes[key])
