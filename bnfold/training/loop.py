"""The training loop: a step is a function of the state and a batch; the order is f(seed, epoch)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnfold.errors import RunStopped, UsageError
from bnfold.training.augment import shifted
from bnfold.training.config import TrainConfig
from bnfold.training.data import Dataset, Split
from bnfold.training.device import memory_told
from bnfold.training.metrics import StepMetrics
from bnfold.training.schedule import learning_rate
from bnfold.training.seeds import Purpose, stream


@dataclass(slots=True)
class Training:
    """Everything that a step changes, with what it needs; `step` counts finished steps."""

    config: TrainConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    data: Dataset
    step: int = 0
    best: float = -1.0
    _order: tuple[int, Tensor] = field(default_factory=lambda: (-1, torch.empty(0)))

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; the remainder is left out, another one each epoch."""
        return len(self.data.train) // self.config.batch

    @property
    def steps(self) -> int:
        """The length of the run."""
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the next step, found by index and not by iterating."""
        epoch, index = divmod(self.step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = stream(self.config.seed, Purpose.ORDER, epoch)
            order = torch.randperm(len(self.data.train), generator=generator)
            self._order = (epoch, order.to(self.data.train.labels.device))
        chosen = self._order[1][index * self.config.batch : (index + 1) * self.config.batch]
        images = self.data.train.images[chosen]
        if self.config.shift:
            generator = stream(self.config.seed, Purpose.AUGMENT, self.step)
            images = shifted(images, self.config.shift, generator)
        return self.data.inputs(images), self.data.train.labels[chosen]


@dataclass(frozen=True, slots=True)
class Watch:
    """What else a run measures: at the steps that are `due`, `measure` adds to the record (JSON).

    The held-out accuracy is measured at these steps too.
    """

    due: Callable[[int], bool]
    measure: Callable[[nn.Module], Mapping[str, Any]]


UNWATCHED = Watch(due=lambda _: False, measure=lambda _: {})


@dataclass(slots=True)
class _Window:
    """Sums since the last record, kept on the device so that CUDA need not wait."""

    loss: Tensor
    correct: Tensor
    images: int = 0
    steps: int = 0
    wait: float = 0.0
    start: float = field(default_factory=time.perf_counter)


def begin(config: TrainConfig, model: nn.Module, data: Dataset) -> Training:
    """SGD over two groups: L2 on matrices and kernels, none on gamma, beta and biases.

    Raises:
        UsageError: the batch is larger than the training split.
    """
    if config.batch > len(data.train):
        raise UsageError(f"batch={config.batch} exceeds the {len(data.train)} training images")
    decayed = [p for p in model.parameters() if config.decay_norms or p.ndim > 1]
    others = [p for p in model.parameters() if not (config.decay_norms or p.ndim > 1)]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
    )
    return Training(config, model, optimizer, data)


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
    """
    config = training.config
    window = _window(training)
    training.model.train()
    while training.step < training.steps:
        rate = learning_rate(config, training.step, training.steps, training.steps_per_epoch)
        with memory_told(f"at step {training.step + 1}", config.batch):
            _one_step(training, rate, window)
        training.step += 1
        halt = stopped()
        period = config.save_every * training.steps_per_epoch
        save = halt or training.step == training.steps or training.step % period == 0
        look = save or watch.due(training.step)
        if look or training.step % config.log_every == 0:
            record_of = _closed(training, rate, window)
            _refuse_non_finite(training, window)
            held_out = accuracy(training.model, training.data, training.data.test) if look else None
            on_record(record_of(held_out, watch.measure(training.model) if look else {}))
            if save and held_out is not None:
                on_save(training, held_out)
            window = _window(training)
            training.model.train()
        if halt:
            return


def accuracy(model: nn.Module, data: Dataset, split: Split, batch: int = 1000) -> float:
    """The share of a split's images that eval mode gets right; the mode comes back."""
    mode = model.training
    correct = 0
    try:
        with torch.inference_mode():
            model.eval()
            for start in range(0, len(split), batch):
                logits = model(data.inputs(split.images[start : start + batch]))
                correct += int((logits.argmax(1) == split.labels[start : start + batch]).sum())
    finally:
        model.train(mode)
    return correct / len(split)


def calibration_inputs(config: TrainConfig, data: Dataset, shuffle: int = 0) -> Iterator[Tensor]:
    """Training batches without augmentation, for Algorithm 2; `shuffle` picks another order."""
    generator = stream(config.seed, Purpose.CALIBRATION, shuffle)
    order = torch.randperm(len(data.train), generator=generator)
    size = min(config.batch, len(data.train))
    count = min(config.calibration_batches, len(data.train) // size)
    for start in range(0, count * size, size):
        chosen = order[start : start + size]
        yield data.inputs(data.train.images[chosen.to(data.train.images.device)])


def _one_step(training: Training, rate: float, window: _Window) -> None:
    """Forward, backward, update."""
    config = training.config
    start = time.perf_counter()
    inputs, labels = training.batch()
    if inputs.is_cuda:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    window.wait += time.perf_counter() - start
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    low = config.precision == "bfloat16"
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=low):
        logits = training.model(inputs)
        loss = cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
    if not loss.is_cuda and not math.isfinite(float(loss.detach())):
        raise _not_finite(training, inputs)
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    training.optimizer.step()
    window.loss += loss.detach().double()
    window.correct += (logits.detach().argmax(1) == labels).sum()
    window.images += len(labels)
    window.steps += 1


def _window(training: Training) -> _Window:
    device = training.data.train.labels.device
    return _Window(torch.zeros((), dtype=torch.float64, device=device), torch.zeros_like(
        training.data.train.labels[:1].sum()
    ))  # fmt: skip


def _closed(
    training: Training, rate: float, window: _Window
) -> Callable[[float | None, Mapping[str, Any]], StepMetrics]:
    """The record of a window, up to what is measured off the clock."""
    loss, correct = float(window.loss) / window.steps, int(window.correct) / window.images
    seconds = time.perf_counter() - window.start
    memory = torch.cuda.max_memory_allocated() if window.loss.is_cuda else None

    def record(held_out: float | None, watched: Mapping[str, Any]) -> StepMetrics:
        return StepMetrics(
            step=training.step,
            steps=training.steps,
            epoch=training.step / training.steps_per_epoch,
            loss=loss,
            accuracy=correct,
            lr=rate,
            images_per_s=window.images / seconds,
            data_wait=window.wait / seconds,
            held_out=held_out,
            gpu_mem=memory,
            watched=watched,
        )

    return record


def _refuse_non_finite(training: Training, window: _Window) -> None:
    """No record and no checkpoint of a network that has blown up."""
    finite = all(bool(torch.isfinite(p).all()) for p in training.model.parameters())
    if not finite or not math.isfinite(float(window.loss)):
        raise _not_finite(training, training.batch()[0])


def _not_finite(training: Training, inputs: Tensor) -> RunStopped:
    """The error that names the step and the first layer in which something is not finite."""
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

    handles = [module.register_forward_hook(look(name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "loss"
