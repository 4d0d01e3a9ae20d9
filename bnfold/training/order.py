"""The order of an epoch's images: a function of seed and epoch, so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from bnfold.training.config import TrainConfig
from bnfold.training.seeds import Purpose, stream


def epoch_order(config: TrainConfig, shards: Sequence[int], epoch: int) -> Tensor:
    """(N,) indices of N images that lie in shards of these lengths, each of them once."""
    generator = stream(config.seed, Purpose.ORDER, epoch)
    if config.shuffle == "all" or (config.shuffle == "auto" and len(shards) == 1):
        return torch.randperm(sum(shards), generator=generator)
    stored = _shards_moved(shards, generator)
    if config.shuffle == "shards":
        return stored
    return buffered(stored, config.shuffle_buffer, generator)


def buffered(stored: Tensor, size: int, generator: Generator) -> Tensor:
    """What leaves a buffer that is kept at `size` while there are more, each drawn from all in it.

    Full before the first is drawn: a buffer that fills as it goes hardly mixes its beginning.
    """
    waiting, ahead = stored[:size].tolist(), stored[size:].tolist()
    held = (len(stored) - torch.arange(len(stored))).clamp(max=size)
    draws = torch.rand(len(stored), generator=generator, dtype=torch.float64) * held
    left: list[int] = []
    for place, fresh in zip(draws.long().tolist(), ahead, strict=False):
        left.append(waiting[place])
        waiting[place] = fresh
    for place in draws.long().tolist()[len(ahead) :]:  # nothing comes any more: it runs dry
        left.append(waiting[place])
        waiting[place] = waiting[-1]
        waiting.pop()
    return torch.tensor(left)


def _shards_moved(shards: Sequence[int], generator: Generator) -> Tensor:
    """Indices as stored, but for the order of the shards."""
    parts = torch.split(torch.arange(sum(shards)), list(shards))
    return torch.cat([parts[i] for i in torch.randperm(len(parts), generator=generator)])
