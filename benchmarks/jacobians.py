"""Singular values of a layer's Jacobian with and without BatchNorm (section 3.3's conjecture).

    python benchmarks/jacobians.py RUN...   runs of `bnfold reproduce mnist` (OUT/runs/full-*)

The layer takes the input of the second hidden layer's sigmoid to that of the third's. With
BatchNorm both ends are taken normalised (before gamma and beta, with population statistics), as
the conjecture has them; without, as they are. Each Jacobian is taken at one held-out image; what
is told are medians over images, before training and after.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from bnfold.bn import load_statistics, population_statistics
from bnfold.training import Dataset, load_checkpoint, load_data
from bnfold.training.networks import build

IMAGES = 200


def main(runs: list[str]) -> None:
    """One line a network."""
    data: Dataset | None = None
    print("| net | when | largest | median | smallest | largest / median |")
    print("| --- | --- | --- | --- | --- | --- |")
    for run in runs:
        found = load_checkpoint(run)
        config = found.manifest["config"]
        data = data or load_data(config["data"], binarize=True)
        torch.manual_seed(config["seed"])
        fresh = build(config["model"], classes=10, channels=1, size=(28, 28))
        batches = [data.inputs(data.train.take(torch.arange(6000))[0])]
        load_statistics(fresh, population_statistics(fresh, batches))
        told = f"{config['model']}, rate {config['lr']:g}, seed {config['seed']}"
        for when, model in (("initial", fresh), (f"step {found.step:,}", found.model)):
            values = singular_values(model.double().eval(), data)
            top, middle, low = values.max(1).values, values.median(1).values, values.min(1).values
            row = [top, middle, low, top / middle]
            cells = " | ".join(f"{float(v.median()):.3g}" for v in row)
            print(f"| {told} | {when} | {cells} |", flush=True)


def singular_values(model: nn.Module, data: Dataset) -> Tensor:
    """(images, 100), in float64."""
    images = data.inputs(data.test.take(torch.arange(IMAGES))[0]).double()
    second, third = model.hidden2, model.hidden3
    norms = [getattr(layer, "norm", None) for layer in (second, third)]
    with torch.no_grad():
        ends = second.linear(model.hidden1(model.flatten(images)))
        slope, shift = torch.ones(100, dtype=torch.float64), torch.zeros(100, dtype=torch.float64)
        scale = torch.ones(100, dtype=torch.float64)
        if norms[0] is not None:
            first, last = norms
            ends = (ends - first.running_mean) / (first.running_var + first.eps).sqrt()
            slope, shift = first.weight, first.bias
            scale = 1 / (last.running_var + last.eps).sqrt()
        sigmoid = torch.sigmoid(slope * ends + shift)
        inner = slope * sigmoid * (1 - sigmoid)
        return torch.linalg.svdvals(scale[:, None] * third.linear.weight * inner[:, None, :])


if __name__ == "__main__":
    main(sys.argv[1:])
