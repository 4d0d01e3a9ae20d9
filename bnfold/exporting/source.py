"""What is exported: a torch module, or a trained run or checkpoint, with the shape of an input."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnfold.errors import ModelError, UsageError
from bnfold.exporting.named import built, cast, is_name, normalized
from bnfold.training.checkpoint import Checkpoint, load
from bnfold.training.ensemble import Ensemble
from bnfold.training.run import Run

Shape = Sequence[int]


@dataclass(frozen=True, slots=True)
class Source:
    """A private copy of the network, on the CPU in eval mode, and its inputs without batch axis."""

    model: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype

    def inputs(self, batch: int, seed: int) -> tuple[torch.Tensor, ...]:
        """Standard normal inputs; the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(
            torch.randn(batch, *shape, generator=generator).to(self.dtype) for shape in self.shapes
        )


@dataclass(frozen=True, slots=True)
class Form:
    """What becomes of the network on its way: weights from a file, a normalisation, a type."""

    weights: str | os.PathLike[str] | None = None
    classes: int = 1000
    normalize: tuple[Sequence[float], Sequence[float]] | None = None
    dtype: str | None = None


@contextmanager
def source_of(
    given: nn.Module | Run | Checkpoint | Ensemble | str | os.PathLike[str],
    example_shape: Shape | Sequence[Shape] | None,
    form: Form,
) -> Iterator[Source]:
    """The network in question; the caller's own is neither moved nor left in another mode.

    Raises:
        UsageError: a module without example_shape, a bad shape, or no such folder or network.
        ModelError: a BatchNorm has no statistics, or a network on a GPU cannot be copied.
        DataError: the checkpoint is damaged, or the weights do not fit.
    """
    if isinstance(given, str) and (form.weights is not None or is_name(given)):
        if example_shape is None:
            raise UsageError(
                "a network by name needs the shape of an input, or no such run or checkpoint",
                where=given, hint="--shape 3x224x224",
            )  # fmt: skip
        given = built(given, _shapes(example_shape)[0], form.weights, form.classes)
    if isinstance(given, (str, os.PathLike)):
        given = load(given)
    if isinstance(given, nn.Module):
        model = getattr(given, "_orig_mod", given)  # what torch.compile wraps
        if example_shape is None:
            raise UsageError("a module needs example_shape, such as (3, 224, 224)")
    else:
        model = given.model
        example_shape = given.shape if example_shape is None else example_shape
    refuse_unfrozen(model)
    shapes = _shapes(example_shape)
    floats = [p.dtype for p in model.parameters() if p.is_floating_point()]
    with _evaluating(model) as own:
        dtype = floats[0] if floats else torch.float32
        if form.normalize is not None:
            own = normalized(own, form.normalize, shapes[0][0])
        if form.dtype is not None:
            own, dtype = cast(copy.deepcopy(own), form.dtype)
        yield Source(own, shapes, dtype)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """A copy in eval mode on the CPU; the model itself, its modes put back, if it has no copy."""
    own = _copied(model)
    if own is not None:
        yield own.cpu().eval()
        return
    if any(t.device.type != "cpu" for t in (*model.parameters(), *model.buffers())):
        raise ModelError("the network cannot be copied", hint="move it with .cpu() first")
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


def _copied(model: nn.Module) -> nn.Module | None:
    """None where the network holds computed tensors, as torch.nn.utils.weight_norm leaves them."""
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError, ValueError):
        return None


def refuse_unfrozen(model: nn.Module) -> None:
    """A BatchNorm without running statistics is no fixed map: each batch would decide anew.

    Raises:
        ModelError: naming the first such layer.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and (layer.running_mean is None):
            raise ModelError(
                f"BatchNorm '{name}' has no running statistics (track_running_stats=False): in "
                "eval mode it normalises by each batch",
                hint="train it with track_running_stats=True, or give it population statistics",
            )


def _shapes(given: Shape | Sequence[Shape]) -> tuple[tuple[int, ...], ...]:
    """One shape, or one an input; sizes from 1 on, batch axis left out."""
    several = [item for item in given if not isinstance(item, int)]
    one = tuple(item for item in given if isinstance(item, int))
    if several and one:
        raise UsageError(f"example_shape {given!r} mixes sizes and shapes")
    shapes = tuple(tuple(shape) for shape in several) if several else (one,)
    if not all(n > 0 for shape in shapes for n in shape):
        raise UsageError(f"example_shape {given!r} must hold sizes from 1 on, without the batch")
    return shapes
