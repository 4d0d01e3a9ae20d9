"""Data parallel arithmetic: the weights of one process; who gets what; what is too little."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from bnfold.errors import DataError, UsageError
from bnfold.training import Dataset, TrainConfig, load_data
from bnfold.training.calibration import recalibrate
from bnfold.training.networks import build
from bnfold.training.parallel import make_parallel, refuse_small
from bnfold.training.ranks import ALONE, Ranks
from bnfold.training.state import begin
from bnfold.training.step import one_step
from bnfold.training.window import opened
from tests.bn.ranks import on_ranks

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


class Wide(Dataset):
    """Inputs in float64."""

    def inputs(self, images):
        return super().inputs(images).double()


def fifty_steps(rank, world, changes):
    """The trainer's own steps and Algorithm 2 in float64: weights, then statistics."""
    config = TrainConfig(steps=50, batch=62, shift=1, sync_bn=True, device="cpu", **changes)
    data = load_data("digits")
    data = Wide(*(getattr(data, field.name) for field in fields(data)))
    torch.manual_seed(0)
    model = build("digits", classes=10, channels=1, size=(8, 8)).double()
    training = begin(config, model, data, Ranks(rank, world))
    make_parallel(training)
    training.training_mode()
    window = opened(training.device)
    while training.step < 50:
        one_step(training, 0.01, window)
    training.ranks.same_buffers(model)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    done = recalibrate(model, data, config, training.ranks)
    loss = training.ranks.sum(float(window.loss))[0] / world
    facts = (loss, done.accuracy, done.accuracy_before, done.samples)
    return before, model.state_dict(), facts


def both_ways(rank, world):
    return [fifty_steps(rank, world, changes) for changes in ({}, {"accumulate": 2})]


def test_two_ranks_are_one_process():
    """1e-12 after 50 steps: rounding alone; micro-batches of 31 leave 15 and 16 a rank."""
    alone, ranks = both_ways(0, 1), on_ranks(2, both_ways, 2)
    for one, found in [(one, r[i]) for i, one in enumerate(alone) for r in ranks]:
        for got, wanted in zip(found[:2], one[:2], strict=True):
            for name, value in wanted.items():
                torch.testing.assert_close(got[name], value, rtol=1e-12, atol=1e-12)
        assert found[2] == pytest.approx(one[2], rel=1e-12)


SMALL = [
    (TrainConfig(batch=2), 1000, 3, "fewer samples than ranks: 2 for 3"),
    (TrainConfig(batch=64), 2, 3, "fewer samples than ranks: 2 for 3"),
    (TrainConfig(batch=5), 1000, 3, "--sync-bn"),
    (TrainConfig(batch=5, sync_bn=True), 1000, 3, None),
    (TrainConfig(batch=6), 1000, 3, None),
    (TrainConfig(batch=2), 2, 1, None),
]


@pytest.mark.parametrize(("config", "count", "world", "told"), SMALL)
def test_small(config, count, world, told):
    if told is None:
        refuse_small(config, count, Ranks(0, world))
        return
    with pytest.raises(UsageError) as caught:
        refuse_small(config, count, Ranks(0, world))
    assert told in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
def test_shares_are_all_of_it(count):
    whole = list(range(count))
    assert [i for r in range(3) for i in whole[Ranks(r, 3).share(count)]] == whole


def test_alone_everything_is_its_own():
    assert (ALONE.gather("x"), ALONE.from_first("x"), ALONE.highest(3)) == (["x"], "x", 3)
    ALONE.agree({"a": 1})
    with pytest.raises(DataError):
        ALONE.together(lambda: (_ for _ in ()).throw(DataError("x")))
