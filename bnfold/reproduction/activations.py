"""The inputs of the last hidden layer's sigmoids over the course of training: Figure 1b and 1c."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnfold.training import Dataset

PERCENTILES = (15, 50, 85)
PROBE = 1000  # held-out images, the same ones at every step
SETTLED = 100  # from this step on: before it, moving averages still hold their initial values


@dataclass(frozen=True, slots=True)
class Spread:
    """How the inputs of the sigmoids moved from step SETTLED on, and one unit's percentiles.

    `width_ratio`: largest over smallest 15-85 width; `median_range`: how far the median wandered;
    both the median over units. `unit` is the one whose ratio lies nearest to that median, and
    `percentiles` holds its (15, 50, 85)th after each measured step.
    """

    width_ratio: float
    median_range: float
    unit: int
    percentiles: Sequence[Sequence[float]]


def watching(data: Dataset) -> Callable[[nn.Module], Mapping[str, Any]]:
    """What `Watch` measures: percentiles (3, units) over the probe, in eval mode."""
    probe = data.inputs(data.test.take(torch.arange(min(PROBE, len(data.test))))[0])
    shares = torch.tensor([p / 100 for p in PERCENTILES])

    def measure(model: nn.Module) -> dict[str, Any]:
        found = torch.quantile(_inputs(model, probe), shares, dim=0)
        return {"percentiles": [[float(f"{v:.4g}") for v in row] for row in found.tolist()]}

    return measure


def spread(steps: Sequence[int], percentiles: Sequence[Sequence[Sequence[float]]]) -> Spread:
    """The summary of (T, 3, units) percentiles after the given steps."""
    values = np.asarray(percentiles, np.float64)
    settled = values[np.asarray(steps) >= SETTLED] if max(steps) >= SETTLED else values
    width = settled[:, 2] - settled[:, 0]
    ratio = width.max(axis=0) / np.maximum(width.min(axis=0), np.finfo(float).tiny)
    middle = float(np.median(ratio))
    unit = int(np.abs(ratio - middle).argmin())
    wandered = np.ptp(settled[:, 1], axis=0)
    typical = [[float(v) for v in row] for row in values[:, :, unit]]
    return Spread(middle, float(np.median(wandered)), unit, typical)


def _inputs(model: nn.Module, probe: Tensor) -> Tensor:
    """(N, units): what enters the last sigmoid."""
    last = [module for module in model.modules() if isinstance(module, nn.Sigmoid)][-1]
    seen: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mode = model.training
    try:
        with torch.inference_mode():
            model.eval()(probe)
    finally:
        model.train(mode)
        handle.remove()
    return seen[0]
