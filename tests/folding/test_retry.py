"""A refused spot is tried again where its search would read something new, and only there."""

from __future__ import annotations

from unittest.mock import patch

import pytest

import bnfold
from bnfold.folding import engine
from bnfold.folding.retry import Tried
from tests.net import Net
from tests.properties.fuzz import model_of


def searches(net: Net) -> list[str]:
    """The outputs of the spots that were searched from, in order."""
    seen: list[str] = []
    choose = engine._chosen_move

    def noted(state: engine._State, spot: engine.Spot) -> engine.Move | engine.Refusal:
        seen.append(spot.node.outputs[0])
        return choose(state, spot)

    with patch.object(engine, "_chosen_move", noted):
        bnfold.fold(net.model())
    return seen


def test_untouched_spot_is_not_tried_again() -> None:
    """The first BatchNorm stays, the second folds elsewhere: the first is searched from once."""
    net = Net("apart")
    x = net.input(("N", 4, 6, 6))
    stays = net.op("Sigmoid", net.bn(net.op("Sigmoid", x), 4, out="first"))
    net.out(net.bn(net.conv(stays, 4, 4), 4, out="second"))
    assert searches(net) == ["first", "second"]


def test_spot_that_a_fold_makes_room_for_is_tried_again() -> None:
    """Two BatchNorms read one Conv: when the second has gone down, the first can go up."""
    net = Net("room")
    trunk = net.conv(net.input(("N", 4, 6, 6)), 4, 4)
    first = net.op("Sigmoid", net.bn(trunk, 4, out="first"))
    second = net.conv(net.bn(trunk, 4, out="second"), 4, 4, pads=None)
    net.out(first, second)
    assert searches(net).count("first") == 2


@pytest.mark.parametrize("seed", range(0, 120, 3))
def test_skipping_changes_nothing(seed: int) -> None:
    model, options = model_of(seed), bnfold.Options(aggressive=seed % 2 == 1)
    skipping = bnfold.fold(model, options)
    with patch.object(Tried, "in_vain", lambda *_: False):
        trying = bnfold.fold(model, options)
    assert skipping.model == trying.model
    assert skipping.report == trying.report
