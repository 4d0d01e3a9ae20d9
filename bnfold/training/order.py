"""The order of an epoch's images: a function of seed and epoch, so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from bnfold.training.config import TrainConfig
from bnfold.training.seeds import Purpose, stream


def epoch_order(config: TrainConfig, shards: Sequence[int], epoch: int) -> Tensor:
    """(N,) indices of N images that lie in shards of these lengths, none of them twice."""
    if config.shuffle == "batches":
        return _batches_moved(config, sum(shards), epoch)
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


def _batches_moved(config: TrainConfig, count: int, epoch: int) -> Tensor:
    """Batches in another order, each of the examples that always meet in it.

    This is what the paper's shuffling within shards ends (4.2.1), whatever holds the images.
    """
    whole = count // config.batch
    composed = torch.randperm(count, generator=stream(config.seed, Purpose.ORDER))
    order = torch.randperm(whole, generator=stream(config.seed, Purpose.ORDER, epoch + 1))
    return composed[: whole * config.batch].view(whole, config.batch)[order].flatten()
