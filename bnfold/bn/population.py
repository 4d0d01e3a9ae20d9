"""Algorithm 2: the population statistics of every BatchNorm, with frozen weights, in float64.

Three estimators (arXiv 1502.03167, section 3.1; they are not the same):

- `pooled`: mean and variance of all values seen, by Chan's combination; M2 / (n - 1). Exact for the
  values it saw, whatever the batches' sizes and however alike the values of one batch are.
- `paper`: plain averages over batches of the batch mean and of m/(m-1) times the batch variance.
  Low where the values of a batch are alike, as the pixels of one image are; a short batch counts
  as a full one.
- `moving`: what training tracked; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnfold.errors import DataError, UsageError

Estimator = Literal["pooled", "paper", "moving"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
DEAD = 1e-6  # a channel is dead when its variance is below this share of the layer's median


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Mean and variance (C,) in float64 on the CPU; `count` values a channel, in `batches`."""

    mean: Tensor
    var: Tensor
    count: int
    batches: int

    @property
    def dead(self) -> int:
        """Channels whose variance is so small that gamma / sqrt(var + eps) explodes or is 0/0."""
        return int((self.var < DEAD * self.var.median()).sum()) if self.var.numel() else 0


@dataclass(slots=True)
class _Seen:
    """Running totals of one layer: Chan's (n, mean, M2), and the sums of the paper's averages."""

    count: int = 0
    batches: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    m2: Tensor = field(default_factory=lambda: torch.zeros(()))
    mean_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    var_sum: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, x: Tensor) -> None:
        """Take in one batch (N, C, ...)."""
        rows = x.detach().transpose(0, 1).flatten(1).double()
        n = rows.shape[1]
        if n < 2:
            raise UsageError(
                f"a batch of shape {tuple(x.shape)} has one value per channel: no variance",
                hint="use larger batches",
            )
        mean = rows.mean(1)
        m2 = (rows - mean[:, None]).square().sum(1)
        if not self.batches:
            self.mean, self.m2, self.mean_sum, self.var_sum = (torch.zeros_like(mean),) * 4
        # m/(m-1) times the biased variance
        self.merge(_Seen(n, 1, mean, m2, mean, m2 / (n - 1)))

    def merge(self, other: _Seen) -> None:
        """Take in what was seen elsewhere."""
        total = self.count + other.count
        delta = other.mean - self.mean
        self.m2 = self.m2 + other.m2 + delta.square() * (self.count * other.count / total)
        self.mean = self.mean + delta * (other.count / total)
        self.mean_sum = self.mean_sum + other.mean_sum
        self.var_sum = self.var_sum + other.var_sum
        self.count, self.batches = total, self.batches + other.batches

    def on_cpu(self) -> _Seen:
        """The same there."""
        tensors = (self.mean, self.m2, self.mean_sum, self.var_sum)
        return _Seen(self.count, self.batches, *(t.cpu() for t in tensors))

    def result(self, estimator: Estimator) -> ChannelStatistics:
        """What the estimator makes of it."""
        if estimator == "paper":
            mean, var = self.mean_sum / self.batches, self.var_sum / self.batches
        else:
            mean, var = self.mean, self.m2 / (self.count - 1)
        return ChannelStatistics(mean.cpu(), var.cpu(), self.count, self.batches)


def norm_layers(model: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorm modules of a model that track statistics, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


def population_statistics(
    model: nn.Module, batches: Iterable[Tensor], *, estimator: Estimator = "pooled"
) -> dict[str, ChannelStatistics]:
    """Population statistics by layer name, over batches of inputs (on the model's device).

    Only BatchNorm layers go into training mode, so dropout is off and each layer sees what batch
    statistics upstream make of the data. The model comes back as it was, buffers and all; see
    `load_statistics`. A layer that the forward pass never reaches is left out.

    Raises:
        UsageError: unknown estimator, no batch, or a batch with one value per channel.
        DataError: an activation is NaN or infinite.
    """
    if estimator not in ESTIMATORS:
        raise UsageError(f"unknown estimator '{estimator}'", hint=f"one of {', '.join(ESTIMATORS)}")
    if estimator == "moving":
        return {name: _tracked(layer) for name, layer in norm_layers(model).items()}
    return all_estimates(model, batches)[estimator]


def all_estimates(
    model: nn.Module,
    batches: Iterable[Tensor],
    gather: Callable[[dict[str, _Seen]], list[dict[str, _Seen]]] = lambda own: [own],
) -> dict[Estimator, dict[str, ChannelStatistics]]:
    """What each estimator makes of the same batches, in one pass; otherwise as above.

    `gather` brings together what several processes saw, each of its own batches.

    Raises:
        UsageError: no batch, or a batch with one value per channel.
        DataError: an activation is NaN or infinite.
    """
    layers = norm_layers(model)
    seen = {name: _Seen() for name in layers}
    tracked = {name: _tracked(layer) for name, layer in layers.items()}
    with _collecting(model, layers, seen), torch.no_grad():
        for batch in batches:
            model(batch)
    parts = gather({name: totals.on_cpu() for name, totals in seen.items() if totals.batches})
    reached = _together(parts, layers)
    if layers and not reached:
        raise UsageError("no batch to compute population statistics from")
    for name, totals in reached.items():
        if not torch.isfinite(totals.mean + totals.m2).all():
            raise DataError(f"the input of BatchNorm '{name}' holds NaN or infinity")
    computed: tuple[Estimator, ...] = ("pooled", "paper")
    found = {e: {n: totals.result(e) for n, totals in reached.items()} for e in computed}
    return {**found, "moving": {name: tracked[name] for name in reached}}


def _together(parts: list[dict[str, _Seen]], names: Iterable[str]) -> dict[str, _Seen]:
    """One total a layer that was reached anywhere, weighted by count."""
    found: dict[str, _Seen] = {}
    for name in names:
        for part in parts:
            if name in part and name in found:
                found[name].merge(part[name])
            elif name in part:
                found[name] = part[name]
    return found


def variance_ratio(
    a: Mapping[str, ChannelStatistics], b: Mapping[str, ChannelStatistics]
) -> tuple[float, float]:
    """The smallest and the largest var(a) / var(b) over all channels that vary in b."""
    ratios = [a[n].var[b[n].var > 0] / b[n].var[b[n].var > 0] for n in a.keys() & b.keys()]
    every = [ratio for ratio in ratios if ratio.numel()]
    if not every:
        return 1.0, 1.0
    return min(float(r.min()) for r in every), max(float(r.max()) for r in every)


def load_statistics(model: nn.Module, statistics: Mapping[str, ChannelStatistics]) -> None:
    """Write the statistics into the model's running buffers, rounded once to their type."""
    layers = norm_layers(model)
    for name, values in statistics.items():
        layer = layers[name]
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.copy_(values.mean)
        layer.running_var.copy_(values.var)


def drift(a: Mapping[str, ChannelStatistics], b: Mapping[str, ChannelStatistics]) -> float:
    """The largest |mean difference| in standard deviations, over all channels of all layers."""
    worst = 0.0
    for name in a.keys() & b.keys():
        alive = b[name].var > 0
        moved = (a[name].mean - b[name].mean)[alive].abs() / b[name].var[alive].sqrt()
        worst = max(worst, float(moved.max()) if moved.numel() else 0.0)
    return worst


def _tracked(layer: _BatchNorm) -> ChannelStatistics:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    batches = layer.num_batches_tracked
    return ChannelStatistics(
        layer.running_mean.detach().double().cpu().clone(),
        layer.running_var.detach().double().cpu().clone(),
        count=0,
        batches=0 if batches is None else int(batches),
    )


@contextmanager
def _collecting(
    model: nn.Module, layers: Mapping[str, _BatchNorm], seen: Mapping[str, _Seen]
) -> Iterator[None]:
    """Watch the layers' inputs in training mode; put modes, buffers and hooks back in any case."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(b, b.clone()) for layer in layers.values() for b in layer.buffers(recurse=False)]
    handles = []
    try:
        model.eval()
        for name, layer in layers.items():
            layer.train()
            totals = seen[name]
            handles.append(
                layer.register_forward_pre_hook(lambda _, args, t=totals: t.add(args[0]))
            )
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
