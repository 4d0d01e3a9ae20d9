"""The training loop: a step is a function of the state and a batch; the order is f(seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnfold.training.compiling import compiler_told
from bnfold.training.config import TrainConfig
from bnfold.training.dataset import Dataset, Images
from bnfold.training.device import memory_told
from bnfold.training.finite import refuse_non_finite
from bnfold.training.metrics import StepMetrics
from bnfold.training.ranks import ALONE, Ranks
from bnfold.training.schedule import learning_rate
from bnfold.training.seeds import Purpose, stream
from bnfold.training.state import Training
from bnfold.training.step import one_step
from bnfold.training.window import Window, closed, opened


@dataclass(frozen=True, slots=True)
class Watch:
    """What else a run measures: at the steps that are `due`, `measure` adds to the record (JSON).

    The held-out accuracy is measured at these steps too.
    """

    due: Callable[[int], bool]
    measure: Callable[[nn.Module], Mapping[str, Any]]


UNWATCHED = Watch(due=lambda _: False, measure=lambda _: {})


def fit(
    training: Training,
    *,
    on_record: Callable[[StepMetrics], None],
    on_save: Callable[[Training, float], None],
    stopped: Callable[[], bool],
    watch: Watch = UNWATCHED,
) -> None:
    """Run to the end, or to the step after which `stopped` says so; `on_save` is called then too.

    `on_save` also comes every `save_every` epochs and at the end, with the held-out accuracy. A
    record comes first, so that a run that dies in between has no gap in its metrics.

    Raises:
        RunStopped: the loss is not finite, or the device's memory does not suffice.
        UsageError: a BatchNorm gets one value per channel.
        EnvironmentLacks: torch.compile fails.
    """
    with (
        memory_told(lambda: f"at step {training.step + 1}", training.config.batch),
        compiler_told(training.config),
    ):
        _to_the_end(training, on_record, on_save, stopped, watch)


def _to_the_end(
    training: Training,
    on_record: Callable[[StepMetrics], None],
    on_save: Callable[[Training, float], None],
    stopped: Callable[[], bool],
    watch: Watch,
) -> None:
    """A step costs half a millisecond on a small network: what need not be in here is not."""
    config = training.config
    window = opened(training.device)
    training.training_mode()
    while training.step < training.steps:
        rate = next_step(training, window)
        halt = stopped()
        period = config.save_every * training.steps_per_epoch
        save = halt or training.step == training.steps or training.step % period == 0
        look = save or watch.due(training.step)
        if look or training.step % config.log_every == 0:
            record_of = closed(training, rate, window)
            refuse_non_finite(training, window.loss)
            held_out = _held_out(training) if look else None
            on_record(record_of(held_out, watch.measure(training.model) if look else {}))
            if save and held_out is not None:
                on_save(training, held_out)
            window = opened(training.device)
            training.training_mode()
        if halt:
            return


def next_step(training: Training, window: Window) -> float:
    """Take the next step, at the rate that is answered.

    Raises:
        RunStopped: the loss is not finite.
        UsageError: a BatchNorm gets one value per channel.
    """
    rate = learning_rate(training.config, training.step, training.steps, training.steps_per_epoch)
    one_step(training, rate, window)
    return rate


def _held_out(training: Training) -> float:
    """With rank 0's statistics, which are the ones that are saved."""
    ranks, data = training.ranks, training.data
    ranks.same_buffers(training.model)
    return accuracy(training.model, data, data.test, ranks=ranks)


def accuracy(
    model: nn.Module, data: Dataset, images: Images, batch: int = 1000, ranks: Ranks = ALONE
) -> float:
    """The share of a split's images that eval mode gets right; the modes come back.

    Several ranks take a part each, with models that are the same.
    """
    size, correct, own = batch_for(images, batch), 0, ranks.share(len(images))
    with evaluating(model):
        for start in range(own.start, own.stop, size):
            part = torch.arange(start, min(start + size, own.stop))
            taken, labels = images.take(part.to(images.labels.device))
            correct += int((model(data.inputs(taken)).argmax(1) == labels).sum())
    return ranks.sum(correct)[0] / len(images)


BATCH_PIXELS = 1 << 22  # positions in a batch of the evaluation: 83 images of 224x224


def batch_for(images: Images, most: int = 1000) -> int:
    """So many images at once as memory bears, in evaluation."""
    return min(most, max(1, BATCH_PIXELS // (images.shape[1] * images.shape[2])))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; each layer's own mode comes back."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.inference_mode():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def samples(config: TrainConfig, data: Dataset) -> int:
    """How many images `calibration_inputs` takes."""
    size = min(config.batch // config.accumulate, len(data.train))
    return size * min(config.calibration_batches, len(data.train) // size)


def calibration_inputs(
    config: TrainConfig, data: Dataset, shuffle: int = 0, ranks: Ranks = ALONE
) -> Iterator[Tensor]:
    """Training batches without augmentation, for Algorithm 2; `shuffle` picks another order.

    The ranks take them in turn, so that the batches are those of one process.
    """
    generator = stream(config.seed, Purpose.CALIBRATION, shuffle)
    order = torch.randperm(len(data.train), generator=generator)
    size = min(config.batch // config.accumulate, len(data.train))
    for start in range(ranks.rank * size, samples(config, data), size * ranks.world):
        chosen = order[start : start + size]
        yield data.inputs(data.train.take(chosen.to(data.train.labels.device))[0])
