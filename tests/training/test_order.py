"""The order of an epoch: every image once, whatever mixes them, and how far it mixes."""

from __future__ import annotations

import pytest
import torch

from bnfold.errors import UsageError
from bnfold.training import TrainConfig, override
from bnfold.training.order import buffered, epoch_order
from bnfold.training.seeds import Purpose, stream

SHARDS = (70, 1, 129, 100)
WAYS = ["auto", "all", "within-shard", "shards"]


@pytest.mark.parametrize("shards", [SHARDS, (300,)], ids=["shards", "whole"])
@pytest.mark.parametrize("size", [1, 7, 300, 10_000])
@pytest.mark.parametrize("way", WAYS)
def test_every_image_comes_once(way, size, shards):
    config = TrainConfig(shuffle=way, shuffle_buffer=size)
    first, again, other = (epoch_order(config, shards, epoch) for epoch in (3, 3, 4))
    assert torch.equal(first.sort().values, torch.arange(300))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (len(shards) == 1 and (way, size) in STANDS)


STANDS = {("shards", n) for n in (1, 7, 300, 10_000)} | {("within-shard", 1)}


def test_auto_is_what_fits():
    assert torch.equal(
        epoch_order(TrainConfig(), (300,), 0),
        torch.randperm(300, generator=stream(0, Purpose.ORDER, 0)),
    )
    shards = (100,) * 3
    auto, named = (epoch_order(TrainConfig(shuffle=w), shards, 0) for w in ("auto", "within-shard"))
    assert torch.equal(auto, named)


def test_the_buffer_reaches_as_far_as_its_size():
    """No image leaves before it can have come in; from the first draw on all places are used."""
    order = buffered(torch.arange(20_000), 100, torch.Generator().manual_seed(0))
    ahead = order - torch.arange(20_000)
    assert int(ahead.max()) == 99
    assert int(ahead.min()) < -300  # how long one waits is geometric, with a mean of 100
    assert int(order[:20].max()) > 50


def test_what_is_held_leaves_evenly():
    """A buffer that holds all gives permutations; each place gets each image equally often."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4, 4)
    for _ in range(4000):
        order = buffered(torch.arange(4), 9, generator)
        counts[torch.arange(4), order] += 1
    chi = ((counts - 1000).square() / 1000).sum()
    assert chi < 40  # 9 degrees of freedom: passed by chance in 99.999 %


def test_whole_shards_alone():
    order = epoch_order(TrainConfig(shuffle="shards"), SHARDS, 1)
    jumps = int((order.diff() != 1).sum())
    assert 1 <= jumps <= 3


def test_a_buffer_of_nothing_is_refused():
    with pytest.raises(UsageError, match="shuffle_buffer"):
        override(TrainConfig(), ["shuffle_buffer=0"])
