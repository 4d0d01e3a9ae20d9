"""Algorithm 2: each estimator against its definition, and a model that comes back untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnfold.bn import load_statistics, population_statistics
from bnfold.bn.population import all_estimates, drift, variance_ratio
from bnfold.errors import DataError, UsageError


def one_layer(channels: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels))


def drawn(*sizes: int, seed: int = 0) -> list[torch.Tensor]:
    """Batches whose means differ: each estimator sees another variance."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, 4, 4, generator=generator) + index for index, n in enumerate(sizes)]


def test_pooled_is_the_exact_statistic_of_all_values():
    batches = drawn(5, 16, 2)
    found = population_statistics(one_layer(), batches)["0"]
    values = torch.cat(batches).double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(found.mean, values.mean(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.var, values.var(1), rtol=1e-12, atol=1e-12)
    assert (found.count, found.batches) == (23 * 16, 3)


def test_paper_is_the_plain_average_with_m_over_m_minus_one():
    batches = drawn(4, 8)
    found = population_statistics(one_layer(), batches, estimator="paper")["0"]
    rows = [b.double().transpose(0, 1).flatten(1) for b in batches]
    means = torch.stack([r.mean(1) for r in rows])
    biased = torch.stack([r.var(1, correction=0) * r.shape[1] / (r.shape[1] - 1) for r in rows])
    torch.testing.assert_close(found.mean, means.mean(0))
    torch.testing.assert_close(found.var, biased.mean(0))


def test_paper_is_torchs_cumulative_average_over_equal_batches():
    batches = drawn(8, 8, 8)
    layer = nn.BatchNorm2d(3, momentum=None).double()
    with torch.no_grad():
        for batch in batches:
            layer(batch.double())
    found = population_statistics(one_layer(), batches, estimator="paper")["0"]
    torch.testing.assert_close(found.mean, layer.running_mean)
    torch.testing.assert_close(found.var, layer.running_var)


def test_moving_is_what_training_tracked():
    model = one_layer()
    model(drawn(4)[0])
    found = population_statistics(model, [], estimator="moving")["0"]
    torch.testing.assert_close(found.mean.float(), model[0].running_mean)


def test_large_mean_small_deviation_keeps_its_digits():
    generator = torch.Generator().manual_seed(0)
    batches = [100 + 0.01 * torch.randn(50, 3, 8, 8, generator=generator) for _ in range(20)]
    found = population_statistics(one_layer(), batches)["0"]
    wanted = torch.cat(batches).double().transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(found.var, wanted, rtol=1e-9, atol=0)


class Mixed(nn.Module):
    """Dropout must be off, the frozen layer stay frozen, the unused one be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.9)
        self.second = nn.BatchNorm2d(3)
        self.unused = nn.BatchNorm2d(3)

    def forward(self, x):
        if self.dropout.training:
            raise AssertionError("only BatchNorm layers go into training mode")
        return self.second(self.dropout(self.first(x)))


def test_everything_comes_back():
    model = Mixed().train()
    model.second.eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    modes = {name: m.training for name, m in model.named_modules()}
    found = population_statistics(model, drawn(4, 4))
    assert found.keys() == {"first", "second"}
    assert {name: m.training for name, m in model.named_modules()} == modes
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_everything_comes_back_after_an_error():
    model = Mixed().train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(RuntimeError):
        population_statistics(model, [drawn(4)[0], torch.randn(4, 5, 2, 2)])
    assert model.dropout.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_second_layer_sees_batch_normalised_input():
    """In training mode upstream, so its input has variance one whatever the running values say."""
    model = Mixed().eval()
    model.first.running_var.fill_(100.0)
    found = population_statistics(model, drawn(16))
    torch.testing.assert_close(found["second"].var, torch.ones(3).double(), rtol=1e-2, atol=0)


def test_a_layer_used_twice_counts_twice():
    layer = nn.BatchNorm1d(3)
    found = population_statistics(nn.Sequential(layer, layer), [torch.randn(10, 3)])
    assert found["0"].count == 20


def test_load_statistics_rounds_once():
    model = one_layer()
    load_statistics(model, population_statistics(model, drawn(5, 7)))
    values = torch.cat(drawn(5, 7)).double().transpose(0, 1).flatten(1)
    assert torch.equal(model[0].running_var, values.var(1).float())


def test_drift_is_in_standard_deviations():
    a = population_statistics(one_layer(), drawn(50, seed=0))
    b = population_statistics(one_layer(), [x + 0.5 for x in drawn(50, seed=0)])
    assert drift(a, a) == 0
    assert drift(a, b) == pytest.approx(0.5, rel=0.1)


def test_dead_channels_are_counted():
    batch = torch.randn(20, 3, 4, 4)
    batch[:, 1] = 2.0
    assert population_statistics(one_layer(), [batch])["0"].dead == 1


@pytest.mark.parametrize(("batches", "estimator", "error"), [
    ([torch.randn(1, 3, 1, 1)], "pooled", UsageError),
    ([], "pooled", UsageError),
    ([torch.randn(2, 3, 2, 2)], "median", UsageError),
    ([torch.full((2, 3, 2, 2), float("nan"))], "pooled", DataError),
], ids=["one-value", "no-batch", "unknown-estimator", "nan"])  # fmt: skip
def test_refused(batches, estimator, error):
    with pytest.raises(error):
        population_statistics(one_layer(), batches, estimator=estimator)


def test_estimators_are_told_apart_in_one_pass():
    """Batches whose means lie one deviation apart: the paper's variance misses what is between."""
    model = nn.Sequential(nn.BatchNorm1d(2)).double()
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(64, 2, generator=generator).double() + 2 * k for k in (0, 1)]
    found = all_estimates(model, batches)
    low, high = variance_ratio(found["paper"], found["pooled"])
    assert 0.4 < low <= high < 0.6  # 1 / (1 + 1)
    assert variance_ratio(found["pooled"], found["pooled"]) == (1.0, 1.0)
    assert torch.equal(found["moving"]["0"].var, torch.ones(2, dtype=torch.float64))
