"""A loss that is not finite: which step, and the first layer in which something is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bnfold.errors import RunStopped
from bnfold.training.state import Training


def refuse_non_finite(training: Training, loss: Tensor | float) -> None:
    """No record and no checkpoint of a network that has blown up.

    Raises:
        RunStopped: the loss or a parameter is not finite.
    """
    finite = all(bool(torch.isfinite(p).all()) for p in training.model.parameters())
    bad = not finite or not math.isfinite(float(loss))
    if training.ranks.highest(int(bad)):
        raise not_finite(training, training.batch()[0])


def not_finite(training: Training, inputs: Tensor) -> RunStopped:
    """The error that names the step and the layer."""
    layer = first_non_finite(training.model, inputs)
    return RunStopped(
        f"loss is not finite at step {training.step + 1}, first in layer '{layer}'",
        hint="lower the rate (--set lr=...) and --resume from the last checkpoint",
    )


def first_non_finite(model: nn.Module, inputs: Tensor) -> str:
    """The name of the first module, as they run, whose parameters or output are not finite."""
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _: object, out: object) -> None:
            tensors = [*module.parameters(recurse=False), out]
            if any(isinstance(t, Tensor) and not torch.isfinite(t).all() for t in tensors):
                found.append(name)

        return hook

    whole = type(model).__name__  # what its forward does between the layers has no name
    handles = [
        module.register_forward_hook(look(name or whole)) for name, module in model.named_modules()
    ]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "loss"
