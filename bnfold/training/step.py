"""One step: forward, backward, update; in micro-batches and lower precision where asked for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bnfold.errors import UsageError
from bnfold.training.device import layout_of
from bnfold.training.finite import not_finite
from bnfold.training.parallel import gradients_meet
from bnfold.training.state import Training
from bnfold.training.window import Window

AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
SMALLEST_SCALE = 1.0  # of the loss in float16: below it, what is infinite is so by itself


def one_step(training: Training, rate: float, window: Window) -> None:
    """Take the next batch and move the weights; `training.step` counts it.

    In float16 a step whose gradients overflow leaves the weights alone; it is tried again with a
    smaller scale of the loss, so that neither the schedule nor the order of images moves on.

    Raises:
        RunStopped: the loss is not finite.
        UsageError: a BatchNorm gets one value per channel.
    """
    start = time.perf_counter()
    inputs, labels = training.batch()
    layout = layout_of(training.config.layout, inputs.device)
    if layout is torch.channels_last:
        inputs = inputs.contiguous(memory_format=layout)
    window.wait += time.perf_counter() - start
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    while not _updated(training, inputs, labels, window):
        if training.scaler.get_scale() < SMALLEST_SCALE:
            raise not_finite(training, inputs)
    if training.average:
        _average(training)
    training.step += 1
    window.images += len(labels)
    window.steps += 1


def _updated(training: Training, inputs: Tensor, labels: Tensor, window: Window) -> bool:
    """Forward, backward and update; False where float16 overflowed and nothing was changed."""
    parts = training.config.accumulate
    training.optimizer.zero_grad(set_to_none=True)
    told: list[tuple[Tensor | float, Tensor, Tensor]] = []
    for micro, (x, y) in enumerate(_micro_batches(inputs, labels, parts)):
        with gradients_meet(training, micro):
            logits, loss, value = _loss(training, x, y)
            training.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        told.append((value, logits, y))
    scale = training.scaler.get_scale()
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.scaler.get_scale() < scale:
        return False
    for value, logits, y in told:
        window.add(value, logits, y)
    return True


def _micro_batches(inputs: Tensor, labels: Tensor, parts: int) -> Iterable[tuple[Tensor, Tensor]]:
    """The batch itself where it stays whole: splitting it into one costs as much as a kernel."""
    if parts == 1:
        return ((inputs, labels),)
    return zip(inputs.tensor_split(parts), labels.tensor_split(parts), strict=True)


def _loss(training: Training, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
    """Logits, this micro-batch's part of the step's mean loss, and that to be told.

    DistributedDataParallel divides the sum of W ranks' gradients by W, whatever their images.
    """
    config, world = training.config, training.ranks.world
    whole = len(y) * world == config.batch  # then the mean itself is this part: two kernels fewer
    with _lowered(config.precision, x.device):
        logits = _forward(training, x)
        wide = logits.float() if logits.dtype in AUTOCAST.values() else logits
        loss = cross_entropy(
            wide, y, label_smoothing=config.label_smoothing, reduction="mean" if whole else "sum"
        )
    loss = loss if whole else loss * (world / config.batch)
    if loss.is_cuda:
        return logits, loss, loss.detach()
    told = loss.item()
    if not math.isfinite(told):
        raise not_finite(training, x)
    return logits, loss, told


def _lowered(precision: str, device: torch.device) -> AbstractContextManager[object]:
    kind = AUTOCAST.get(precision)
    return nullcontext() if kind is None else torch.autocast(device.type, kind)


def _forward(training: Training, inputs: Tensor) -> Tensor:
    try:
        scores = training.forward(inputs)
    except ValueError as cause:  # of torch's batch_norm
        if "more than 1 value per channel" not in str(cause):
            raise
        raise UsageError(
            f"a BatchNorm gets one value per channel: {cause}", hint="a larger batch or image"
        ) from cause
    if not isinstance(scores, Tensor):
        raise UsageError(
            f"{training.config.model} gives {type(scores).__name__} in training, not scores alone"
        )
    return scores


@torch.no_grad()
def _average(training: Training) -> None:
    """Averages of the weights in float32; BatchNorm's statistics are taken anew at the end."""
    parameters = dict(training.model.named_parameters())
    ends = [parameters[name].detach().float() for name in training.average]
    torch._foreach_lerp_(list(training.average.values()), ends, 1 - training.config.ema)
