"""Sums since the last record, kept on the device so that CUDA need not wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bnfold.training.metrics import StepMetrics
from bnfold.training.state import Training

WAITING = 1 << 22  # bytes of scores that wait to be counted


@dataclass(slots=True)
class Window:
    """`loss` float64 and `correct` int64, without axes on CUDA; seconds in `wait` and `start`.

    Scores wait in `answers`, `held` bytes of them, and are counted many steps at once: for a few
    images a kernel's start costs more than its work, step after step.
    """

    loss: Tensor | float
    correct: Tensor | int
    images: int = 0
    steps: int = 0
    wait: float = 0.0
    start: float = field(default_factory=time.perf_counter)
    answers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    held: int = 0

    def add(self, loss: Tensor | float, scores: Tensor, labels: Tensor) -> None:
        """A part of a step's loss; scores (n, K) and labels (n,)."""
        self.loss += loss
        self.answers.append((scores.detach(), labels))
        self.held += scores.untyped_storage().nbytes()
        if self.held > WAITING:
            self.count()

    def count(self) -> None:
        """Move what waits into `correct`."""
        scores, labels = (torch.cat(parts) for parts in zip(*self.answers, strict=True))
        self.correct = self.correct + torch.count_nonzero(scores.argmax(1) == labels)
        self.answers, self.held = [], 0


def opened(device: torch.device) -> Window:
    """An empty window; on the CPU plain numbers, which cost less than kernels."""
    if device.type != "cuda":
        return Window(0.0, 0)
    return Window(
        torch.zeros((), dtype=torch.float64, device=device),
        torch.zeros((), dtype=torch.int64, device=device),
    )


def closed(
    training: Training, rate: float, window: Window
) -> Callable[[float | None, Mapping[str, Any]], StepMetrics]:
    """The record of a window, of all ranks, up to what is measured off the clock."""
    if window.answers:
        window.count()
    sums = training.ranks.sum(float(window.loss), int(window.correct), window.images)
    loss, correct = sums[0] / training.ranks.world / window.steps, sums[1] / sums[2]
    seconds = time.perf_counter() - window.start
    memory = torch.cuda.max_memory_allocated() if training.device.type == "cuda" else None

    def record(held_out: float | None, watched: Mapping[str, Any]) -> StepMetrics:
        return StepMetrics(
            step=training.step,
            steps=training.steps,
            epoch=training.step / training.steps_per_epoch,
            loss=loss,
            accuracy=correct,
            lr=rate,
            images_per_s=sums[2] / seconds,
            data_wait=window.wait / seconds,
            held_out=held_out,
            gpu_mem=memory,
            watched=watched,
        )

    return record
