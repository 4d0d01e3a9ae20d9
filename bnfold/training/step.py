"""One step: forward, backward, update; in micro-batches and lower precision where asked for."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bnfold.errors import UsageError
from bnfold.training.compiling import compiler_told
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
        EnvironmentLacks: torch.compile fails.
    """
    start = time.perf_counter()
    inputs, labels = training.batch()
    layout = layout_of(training.config.layout, inputs.device)
    if layout is torch.channels_last:
        inputs = inputs.contiguous(memory_format=layout)
    window.wait += time.perf_counter() - start
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    with compiler_told(training.config):
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
    losses: list[Tensor | float] = []
    correct: list[Tensor | int] = []
    whole = [(inputs, labels)]
    split = zip(inputs.tensor_split(parts), labels.tensor_split(parts), strict=True)
    for micro, (x, y) in enumerate(split if parts > 1 else whole):
        with gradients_meet(training, micro):
            logits, loss, told = _loss(training, x, y)
            training.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(told)
        right = torch.count_nonzero(logits.argmax(1) == y)
        correct.append(right if right.is_cuda else int(right))
    scale = training.scaler.get_scale()
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.scaler.get_scale() < scale:
        return False
    for part, hits in zip(losses, correct, strict=True):
        window.loss += part
        window.correct += hits
    return True


def _loss(training: Training, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
    """Logits, this micro-batch's part of the step's mean loss, and that to be told.

    DistributedDataParallel divides the sum of W ranks' gradients by W, whatever their images.
    """
    config, world = training.config, training.ranks.world
    whole = len(y) * world == config.batch  # then the mean itself is this part: two kernels fewer
    with _lowered(config.precision, x.device):
        logits = _forward(training, x)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
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
        return training.forward(inputs)
    except ValueError as cause:  # of torch's batch_norm
        if "more than 1 value per channel" not in str(cause):
            raise
        raise UsageError(
            f"a BatchNorm gets one value per channel: {cause}", hint="a larger batch or image"
        ) from cause


@torch.no_grad()
def _average(training: Training) -> None:
    """Averages of the weights in float32; BatchNorm's statistics are taken anew at the end."""
    parameters = dict(training.model.named_parameters())
    ends = [parameters[name].detach().float() for name in training.average]
    torch._foreach_lerp_(list(training.average.values()), ends, 1 - training.config.ema)
