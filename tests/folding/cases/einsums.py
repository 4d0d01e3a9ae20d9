"""Einsum: a constant operand takes what bears its labels, a computed one passes a scale on."""

from __future__ import annotations

from typing import Any

from tests.folding.cases.case import EDGE, Build, Case, case
from tests.folding.moves import repeated
from tests.net import Net

UNIFORM = {"parameters": repeated(1, 3)}
MATCH = ("axis-mismatch", "not-yet", "negative-scale", *EDGE)


def einsum(equation: str, *shape: int, first: bool = True) -> Build:
    def made(n: Net, x: str) -> str:
        pair = [x, n.weight(*shape)]
        return n.op("Einsum", *(pair if first else pair[::-1]), equation=equation)

    return made


def pulled(
    label: str, move: Build, *codes: str, c: int = 4, shape: Any = (2, 3, 6, 6), **norm: Any
) -> Case:
    """Einsum -> BatchNorm."""
    net = Net(f"einsum-pull-{label}")
    y = net.bn(move(net, net.op("Tanh", net.input(shape))), c, **norm)
    return case(net.out(net.op("Tanh", y)), *codes)


def pushed(
    label: str, move: Build, *codes: str, c: int = 3, shape: Any = (2, 3, 6, 6), **norm: Any
) -> Case:
    """BatchNorm -> Einsum."""
    net = Net(f"einsum-push-{label}")
    y = move(net, net.bn(net.op("Tanh", net.input(shape)), c, **norm))
    return case(net.out(net.op("Tanh", y)), *codes)


def of_two(label: str, *codes: str, **norm: Any) -> Case:
    """Both operands computed."""
    net = Net(f"einsum-pull-{label}")
    x = net.input((2, 3, 6, 6))
    pair = [net.conv(x, 3, 4), net.op("Tanh", net.conv(x, 3, 4))]
    y = net.op("Einsum", *pair, equation="bchw,bdhw->bcd")
    return case(net.out(net.op("Tanh", net.bn(y, 4, **norm))), *codes)


def behind_conv(n: Net, x: str) -> str:
    """The constant mixes positions alone: the channels are the convolution's."""
    return n.op("Einsum", n.conv(x, 3, 4, k=1), n.weight(6, 5), equation="bchw,wv->bchv")


def to_conv(n: Net, x: str) -> str:
    y = n.op("Einsum", x, n.weight(6, 5), equation="bchw,wv->bchv")
    return n.conv(y, 3, 4, k=1)


ROWS: list[Case] = [
    pulled("columns", einsum("bchw,cd->bdhw", 3, 4)),
    pulled("columns-implicit", einsum("ac,cb", 3, 4), shape=(2, 3)),
    pulled("constant-first", einsum("dc,bchw->bdhw", 4, 3, first=False)),
    pulled("batch-label", einsum("bchw,ch->bchw", 3, 6), c=3),
    pulled("behind-conv", behind_conv),
    pulled("not-a-label-STAYS", einsum("bchw,wv->bchv", 6, 5), *MATCH, c=3),
    pulled("ellipsis-STAYS", einsum("b...c,cd->bd...", 6, 4), *MATCH),
    of_two("of-two", shift=False),
    of_two("of-two-shift-STAYS", *MATCH),
    pushed("contracted", einsum("bchw,cd->bdhw", 3, 5)),
    pushed("contracted-second", einsum("dc,bchw->dbhw", 5, 3, first=False)),
    pushed("batch-label", einsum("bchw,chv->bcwv", 3, 6, 4)),
    pushed("to-conv", to_conv, shift=False),
    pushed("to-conv-shift-STAYS", to_conv, *MATCH),
    pushed("rank-2", einsum("bc,cd->bd", 3, 5), shape=(2, 3)),
    pushed("stretched", einsum("bchw,cd->bdhw", 1, 5), **UNIFORM),
    pushed("stretched-differs-STAYS", einsum("bchw,cd->bdhw", 1, 5), *MATCH),
    pushed("stretched-space", einsum("bchw,cwd->bdh", 3, 1, 5)),
    pushed("summed-alone-STAYS", einsum("bchw,wv->bhv", 6, 5), *MATCH),
    pushed("summed-alone-pure-STAYS", einsum("bchw,wv->bhv", 6, 5), *MATCH, shift=False),
    pushed("space-summed-shift", einsum("bchw,cd->bdh", 3, 5)),
    pushed("space-summed-open-STAYS", einsum("bchw,cd->bdh", 3, 5), *MATCH, shape=(2, 3, 6, "W")),
    pushed("space-summed-scale", einsum("bchw,cd->bdh", 3, 5), shift=False),
    pushed("twice-STAYS", einsum("bcc,cd->bd", 6, 5), *MATCH, c=6, shape=(2, 6, 6)),
]
