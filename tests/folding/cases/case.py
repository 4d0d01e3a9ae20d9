"""One row of a table of models: a claim, the model, and what must become of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from bnfold.folding.reasons import Reason
from tests.net import Net

Build = Callable[[Net, str], str]
ANY = tuple(sorted(reason.code for reason in Reason))
# Up or down there is an operator, or the model's edge, that nothing affine crosses.
EDGE = ("nonlinear-neighbours", "value-used-elsewhere")


@dataclass(frozen=True)
class Case:
    """What a fold must make of a model.

    `codes`: None means that everything folds (nothing left); a set means that BatchNorms stay,
    each for one of these reasons; an empty set means that either is right, with any reason.
    """

    id: str
    model: onnx.ModelProto
    codes: frozenset[str] | None = None
    stay: int | None = None  # how many BatchNorms stay (with codes); any number >= 1 if None
    affine: int | None = None  # the most constant Mul/Add/Sub/Div that may be left
    outcome: str | None = None  # that some fold must report
    feeds: Mapping[str, NDArray] | None = None
    sizes: Mapping[str, int] | None = None
    exact: bool = False  # an `either` row that exact algebra does fold
    flawed: bool = False  # the full check refuses the source (order; inference's own limits)


def case(net: Net, *codes: str, **more: Any) -> Case:
    """The net's row; without codes, one that folds."""
    return Case(net.label, net.model(), frozenset(codes) or None, **more)


def either(net: Net, **more: Any) -> Case:
    """A row that may fold or stay: only being wrong is wrong."""
    return Case(net.label, net.model(), frozenset(), **more)


def between(
    label: str,
    before: Build,
    after: Build | None = None,
    *codes: str,
    c: int = 4,
    shape: tuple[int | str, ...] = ("N", 3, 8, 8),
    opset: int = 17,
    norm: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **options: Any,
) -> Case:
    """input -> `before` -> BatchNorm over c channels -> `after` -> output."""
    net = Net(label, opset, **options)
    y = net.bn(before(net, net.input(shape)), c, **(norm or {}))
    net.out(after(net, y) if after else y)
    return case(net, *codes, **(more or {}))


def plain(_: Net, x: str) -> str:
    """Nothing there: the BatchNorm reads the graph's input."""
    return x
