"""Parameters of a BatchNorm that stays, where they hang on a tensor's shape or type at run time.

A raw export spells a gamma of ones as an Expand to what Shape says of an activation. Its value is
known, but no runtime's constant folding sees it: it is computed anew in every run, and keeps the
runtime from fusing the BatchNorm. Where the graph changes anyway, the value is written.
"""

from __future__ import annotations

from bnfold.folding.certificate import Ledger, projected
from bnfold.graph.index import GraphIndex, Node
from bnfold.graph.numbers import FLOATS

_PARAMETERS = range(1, 5)  # scale, bias, mean, variance


def settle(index: GraphIndex, node: Node, ledger: Ledger) -> None:
    """Write the parameters of a BatchNormalization that are computed beside an activation."""
    for slot in _PARAMETERS:
        name = node.inputs[slot]
        constant = index.constant(name)
        if constant is None or constant.elem_type not in FLOATS or not _hangs(index, name):
            continue
        written = index.make_constant(f"{name}_settled", constant, name)
        ledger[written] = projected(constant.value())
        index.set_input(node, slot, written)


def _hangs(index: GraphIndex, name: str) -> bool:
    """Whether a constant is computed by nodes that read an activation, if not its values."""
    pending, seen = [name], set[str]()
    while pending:
        one = pending.pop()
        maker = index.producer_of(one)
        if one in seen or (maker is None and index.is_constant(one)):
            continue
        if not index.is_constant(one):
            return True
        seen.add(one)
        pending.extend(name for name in (maker.inputs if maker else ()) if name)
    return False
