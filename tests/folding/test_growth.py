"""The work of a fold grows with the number of nodes, not with its square: counted, not timed."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import onnx
import pytest

import bnfold
from bnfold.folding import asking
from bnfold.graph.index import GraphIndex
from tests.build import value
from tests.net import Net

SPACE = ("N", 4, 6, 6)


def ladder(rungs: int) -> onnx.ModelProto:
    """Half of the channels pass by each rung: a search could follow them back to the start."""
    net = Net("ladder")
    x = net.input(SPACE)
    for _ in range(rungs):
        past, mapped = net.ops("Split", [x], 2, axis=1)
        x = net.bn(net.op("Concat", past, net.conv(mapped, 2, 2, 1), axis=1), 4)
    return net.out(value(x, SPACE)).model()


def trunk(blocks: int) -> onnx.ModelProto:
    """Residual blocks whose BatchNorm reads the trunk."""
    net = Net("trunk")
    x = net.input(SPACE)
    for _ in range(blocks):
        x = net.op("Add", x, net.conv(net.bn(x, 4), 4, 4, 1))
    return net.out(value(x, SPACE)).model()


def factors(count: int) -> onnx.ModelProto:
    """Constants that merge until one leaves the number range, then anew."""
    net = Net("factors")
    x = net.input(SPACE)
    for _ in range(count):
        x = net.op("Mul", x, net.init(1.5))
    return net.out(value(x, SPACE)).model()


def questions(model: onnx.ModelProto) -> int:
    """How often a fold asks a rule."""
    count = 0
    ask = asking._asked

    def counted(*asked: object) -> object:
        nonlocal count
        count += 1
        return ask(*asked)  # type: ignore[arg-type]

    with patch.object(asking, "_asked", counted):
        bnfold.fold(model)
    return count


@pytest.mark.parametrize("made", [ladder, trunk, factors])
def test_rules_are_asked_in_proportion(made: Callable[[int], onnx.ModelProto]) -> None:
    small, large = questions(made(40)), questions(made(80))
    assert large < 2.6 * small


def test_a_fresh_name_is_not_counted_out_anew() -> None:
    class Taken(set[str]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    taken = Taken()
    index = GraphIndex(trunk(1), (), taken)
    assert [index.fresh("w") for _ in range(300)] == ["w", *(f"w_{i}" for i in range(2, 301))]
    assert taken.asked < 3 * 300
