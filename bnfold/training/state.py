"""Everything that a step changes, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bnfold.bn.population import norm_layers
from bnfold.errors import DataError, UsageError
from bnfold.training.augment import Part, flipped, jittered, shifted
from bnfold.training.config import TrainConfig
from bnfold.training.dataset import Dataset
from bnfold.training.order import epoch_order
from bnfold.training.ranks import ALONE, Ranks
from bnfold.training.seeds import Purpose, number, stream

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Training:
    """Everything that a step changes, with what it needs; `step` counts finished steps.

    `forward` is the model as it is called (compiled, in `parallel`, or itself); `average` holds
    the averaged weights by name, if there are any; `steps` is the length of the run.
    """

    config: TrainConfig
    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    data: Dataset
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    best: float = -1.0
    ranks: Ranks = ALONE
    parallel: DistributedDataParallel | None = None
    steps_per_epoch: int = field(init=False)
    steps: int = field(init=False)
    _order: tuple[int, Tensor] = field(default_factory=lambda: (-1, torch.empty(0)))

    def __post_init__(self) -> None:
        """Whole batches; an epoch's remainder is left out, another one each epoch."""
        self.steps_per_epoch = len(self.data.train) // self.config.batch
        self.steps = self.config.steps or self.config.epochs * self.steps_per_epoch

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.data.train.labels.device

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the next step, this rank's; by index and not by iterating."""
        config = self.config
        images, labels = self.data.train.take(*self._chosen(self.step))
        if self.step + 1 < self.steps:
            self.data.train.expect(*self._chosen(self.step + 1))
        if config.shift or config.flip or config.jitter:
            generator = stream(config.seed, Purpose.AUGMENT, self.step)
            part = self._part()
            images = shifted(images, config.shift, generator, part)
            images = flipped(images, generator, part) if config.flip else images
            images = jittered(images, config.jitter, generator, part)
        return self.data.inputs(images), labels

    def training_mode(self) -> None:
        """Every layer in training mode, but BatchNorms that are to stay as they are."""
        self.model.train()
        if self.config.freeze_bn:
            for layer in norm_layers(self.model).values():
                layer.eval()

    def _chosen(self, step: int) -> tuple[Tensor, list[int] | None]:
        """The indices of a step's images, and a seed for the crop of each."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = epoch_order(self.config, self.data.train.shards, epoch)
            self._order = (epoch, order.to(self.device))
        chosen = self._order[1][index * self.config.batch : (index + 1) * self.config.batch]
        part = self._part()
        chosen = chosen if part is None else chosen[part.places.to(chosen.device)]
        if self.config.crop != "random" or not self.data.train.crops:
            return chosen, None
        base = number(self.config.seed, Purpose.CROP, epoch)
        return chosen, [base + i for i in chosen.tolist()]

    def _part(self) -> Part | None:
        """This rank's places in a batch: its share of every micro-batch, one after another."""
        if self.ranks.world == 1:
            return None
        batch = self.config.batch
        micro = torch.arange(batch).view(self.config.accumulate, -1)
        return Part(batch, micro[:, self.ranks.share(micro.shape[1])].flatten())


def begin(config: TrainConfig, model: nn.Module, data: Dataset, ranks: Ranks = ALONE) -> Training:
    """SGD over two groups: L2 on matrices and kernels, none on gamma, beta and biases."""
    if config.freeze_bn:
        for layer in norm_layers(model).values():
            layer.requires_grad_(requires_grad=False)
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if config.decay_norms or p.ndim > 1]
    others = [p for p in trained if not (config.decay_norms or p.ndim > 1)]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    sizes = [sum(p.numel() for p in group) for group in (decayed, others)]
    logger.info("L2 on %d parameters, none on %d", *sizes)
    optimizer = torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
    )
    device = data.train.labels.device
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
    forward = torch.compile(model) if config.compile else model
    average = {n: p.detach().float().clone() for n, p in model.named_parameters()}
    return Training(
        config, model, forward, optimizer, scaler, data, average if config.ema else {}, ranks=ranks
    )


def state_of(training: Training) -> dict[str, Any]:
    """Everything beside the weights that the next step depends on; plain containers only.

    Every rank has to ask: what the others' generators hold goes into `peers`.
    """
    every = training.ranks.gather(_generators())
    return {
        "step": training.step,
        "best": float(training.best),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "average": training.average,
        **every[0],
        "peers": every[1:],
    }


def _generators() -> dict[str, Any]:
    """Where this process's generators stand; those of its own GPU, if it has one."""
    return {
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
        "python_rng": random.getstate(),
    }


def _own_generators(training: Training, state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """This rank's of the checkpoint; None, and a word about it, for another number of ranks."""
    every: list[Mapping[str, Any]] = [state, *state.get("peers", [])]
    ranks = training.ranks
    if len(every) == ranks.world:
        return every[ranks.rank]
    if not training.config.elastic:
        raise UsageError(
            f"the run was begun with {len(every)} ranks, not {ranks.world}",
            hint="--elastic goes on all the same, no longer bit for bit",
        )
    if ranks.first:
        logger.warning(
            "%d ranks instead of %d: no longer bit-exact (dropout begins new streams, sums run in"
            " another order%s)", ranks.world, len(every),
            "" if training.config.sync_bn else ", BatchNorm's batches have another size",
        )  # fmt: skip
    return None


def own_stream(training: Training) -> None:
    """A stream of dropout for each rank; rank 0's is that of a process alone."""
    ranks = training.ranks
    if ranks.rank:
        index = training.step * ranks.world + ranks.rank
        torch.manual_seed(number(training.config.seed, Purpose.RANK, index))


def restore(training: Training, state: Mapping[str, Any], where: str) -> None:
    """Go on from a checkpoint's state, generators and all.

    Raises:
        DataError: something is missing in it or does not fit.
        UsageError: it is of another number of ranks, and the run is not elastic.
    """
    try:
        training.optimizer.load_state_dict(state["optimizer"])
        training.scaler.load_state_dict(state["scaler"])
        for name, value in training.average.items():
            value.copy_(state["average"][name])
        training.step, training.best = int(state["step"]), float(state["best"])
        own = _own_generators(training, state)
        if own is None:
            own_stream(training)
            return
        torch.set_rng_state(own["torch_rng"])
        if training.device.type == "cuda" and own["cuda_rng"]:
            torch.cuda.set_rng_state(own["cuda_rng"][0])
        random.setstate(own["python_rng"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as cause:
        raise DataError(f"unusable training state: {cause}", where=where) from cause
