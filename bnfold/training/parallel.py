"""Data parallel: gradients and, if wanted, BatchNorm's statistics are those of all ranks."""

from __future__ import annotations

import copy
import warnings
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bnfold.bn.allreduce import synchronised
from bnfold.errors import DataError, UsageError
from bnfold.training.config import TrainConfig
from bnfold.training.ranks import Ranks
from bnfold.training.state import Training


def refuse_small(config: TrainConfig, count: int, ranks: Ranks) -> None:
    """Every rank gets images, and a BatchNorm of its own two of them.

    Raises:
        UsageError: there are fewer samples than that.
        DataError: there are fewer images than a batch.
    """
    micro = config.batch // config.accumulate
    if min(count, micro) < ranks.world:
        raise UsageError(
            f"fewer samples than ranks: {min(count, micro)} for {ranks.world}",
            hint="a larger batch, or fewer ranks",
        )
    alone = ranks.world > 1 and not (config.sync_bn or config.freeze_bn)
    if alone and micro // ranks.world < 2:
        raise UsageError(
            f"{ranks.world} ranks leave one image a BatchNorm in batches of {micro}",
            hint="--sync-bn, a larger batch, or fewer ranks",
        )
    if config.batch > count:
        raise DataError(
            f"batch={config.batch} exceeds the {count} training images",
            hint="more images, or a smaller batch",
        )


def make_parallel(training: Training) -> None:
    """Wrap what a step calls; every rank has to."""
    if training.ranks.world == 1:
        return
    called = training.model
    if training.config.sync_bn and not training.config.freeze_bn:
        group = training.ranks.group_of(training.device)
        called = synchronised(_twin(called), group).train()
    with warnings.catch_warnings(action="ignore"):  # the flag has another name from 2.13 on
        # rank 0's statistics count in the end: sending them before every step changes nothing
        wrapped = DistributedDataParallel(called, broadcast_buffers=False)
    training.parallel = wrapped
    training.forward = torch.compile(wrapped) if training.config.compile else wrapped


def gradients_meet(training: Training, micro: int) -> AbstractContextManager[None]:
    """Ranks exchange gradients in the last micro-batch of a step alone."""
    if training.parallel is None or micro == training.config.accumulate - 1:
        return nullcontext()
    return training.parallel.no_sync()


def _twin(model: nn.Module) -> nn.Module:
    """A copy around the same parameters and buffers.

    What evaluates, saves and takes statistics then meets plain BatchNorms, which ask nobody.
    """
    held = {id(t): t for t in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, held)
