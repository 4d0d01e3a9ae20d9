"""The learning rate as a pure function of the step, so that resuming needs no state."""

from __future__ import annotations

import math

from bnfold.training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """The rate of step 0 <= step < steps: a linear climb, then the schedule."""
    climb = round(config.warmup * steps)
    if step < climb:
        return config.lr * (step + 1) / climb
    done = step - climb
    periods = done / (config.decay_epochs * steps_per_epoch)
    match config.schedule:
        case "cosine":
            return config.lr * 0.5 * (1 + math.cos(math.pi * done / (steps - climb)))
        case "exponential":
            return config.lr * math.exp(math.log(config.decay) * periods)
        case "step":
            return config.lr * float(config.decay ** math.floor(periods))
        case "constant":
            return config.lr
