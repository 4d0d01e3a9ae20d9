"""Two ranks against one process on the whole batch, in float64: 1e-12 after 50 steps.

The bound is rounding alone: 50 steps of sums in another order leave some 1e-14.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from bnfold.bn.allreduce import AllReduceBatchNorm, synchronised
from bnfold.errors import UsageError
from tests.bn.ranks import on_ranks

STEPS, BATCH = 50, 24
SPLITS = {"equal": 12, "unequal": 17, "one": 23, "empty": 24}  # images of rank 0


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5, momentum=None), nn.ReLU(), nn.Flatten(), nn.Linear(20, 6),
        nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3),
    ).double()  # fmt: skip


def trained(model, forward, world, part):
    """Weights and buffers after the steps, on this part of each batch; and the inputs' gradient."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9)
    for _ in range(STEPS):
        x = torch.randn(BATCH, 3, 6, 6, generator=generator, dtype=torch.float64) * 3 + 5
        y = torch.randint(0, 3, (BATCH,), generator=generator)
        x = x[part].requires_grad_()
        optimizer.zero_grad()
        loss = cross_entropy(forward(x), y[part], reduction="sum") * (world / BATCH)
        loss.backward()
        optimizer.step()
    return {**{k: v.clone() for k, v in model.state_dict().items()}, "dx": x.grad / world}


def rank_trained(rank):
    found = {}
    for name, first in SPLITS.items():
        model = synchronised(net())
        wrapped = DistributedDataParallel(model)
        part = slice(0, first) if rank == 0 else slice(first, BATCH)
        found[name] = trained(model, wrapped, 2, part)
    return found


@pytest.fixture(scope="module")
def ranks():
    return on_ranks(2, rank_trained)


@pytest.mark.parametrize("split", SPLITS)
def test_two_ranks_are_one_process(ranks, split):
    model = net()
    whole = trained(model, model, 1, slice(None))
    first, second = (rank[split] for rank in ranks)
    assert whole.keys() == first.keys() == second.keys()
    for name, value in whole.items():
        if name == "dx":
            found = torch.cat([first[name], second[name]])
            torch.testing.assert_close(found, value, rtol=0, atol=1e-12)
            continue
        torch.testing.assert_close(first[name], value, rtol=1e-12, atol=1e-12)
        assert torch.equal(first[name], second[name])


def test_shares_parameters_and_buffers():
    model = net()
    own = dict(model.state_dict(keep_vars=True))
    twin = synchronised(copy.deepcopy(model, {id(t): t for t in own.values()}))
    assert all(t is own[name] for name, t in twin.state_dict(keep_vars=True).items())
    assert [type(m) for m in twin.modules()].count(AllReduceBatchNorm) == 3
    assert not any(isinstance(m, AllReduceBatchNorm) for m in model.modules())


def test_alone_it_is_torchs():
    model, twin = net(), synchronised(net())
    x = torch.randn(8, 3, 6, 6, dtype=torch.float64)
    assert torch.equal(model(x), twin(x))
    assert torch.equal(model.eval()(x), twin.eval()(x))


def test_a_class_of_its_own_is_refused():
    class WithRelu(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    with pytest.raises(UsageError, match="WithRelu"):
        synchronised(nn.Sequential(nn.Conv2d(1, 2, 1), WithRelu(2)))


def one_value(rank):
    try:
        AllReduceBatchNorm(2)(torch.ones(1 - rank, 2))
    except UsageError as error:
        return str(error)
    return None


def test_one_value_in_all():
    assert all("one value per channel" in told for told in on_ranks(2, one_value))
