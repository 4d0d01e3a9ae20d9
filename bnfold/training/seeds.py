"""Random streams by (seed, purpose, index): nothing depends on what was drawn before."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a stream is for; the numbers are part of every run's definition."""

    WEIGHTS = 0
    ORDER = 1
    AUGMENT = 2
    CALIBRATION = 3
    CROP = 4
    RANK = 5


def number(seed: int, purpose: Purpose, index: int = 0) -> int:
    """A 63-bit seed, well mixed."""
    state = np.random.SeedSequence([seed, int(purpose), index]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def stream(seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """A generator on the CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(number(seed, purpose, index))
