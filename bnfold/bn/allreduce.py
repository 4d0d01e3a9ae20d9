"""BatchNorm over the batches of all ranks: what one process computes on the whole of them.

torch's SyncBatchNorm refuses CPU tensors; this layer takes any that the process group can reduce.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnfold.errors import UsageError

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class AllReduceBatchNorm(_BatchNorm):
    """Training mode normalises over the values of all ranks; a rank may have none.

    x (N, C, ...), N differing from rank to rank. Gradients of gamma and beta are those of the
    rank's own images, for DistributedDataParallel sums them; it also divides by the ranks W, so
    let each rank's loss be (sum over its images) * W / (images of all ranks).
    arXiv 1502.03167, Algorithm 1, with mean and variance combined as Chan et al. do.

    Raises:
        UsageError: all ranks together have one value per channel.
    """

    group: dist.ProcessGroup | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; without other ranks, or in eval mode, as torch does."""
        if not (self.training and dist.is_initialized() and dist.get_world_size(self.group) > 1):
            return super().forward(x)
        y, mean, m2, count = _Normalize.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.eps, self.group
        )
        if self.running_mean is not None:
            self._track(mean, m2, int(count))
        return y  # type: ignore[no-any-return]

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(x.shape)}")

    @torch.no_grad()
    def _track(self, mean: Tensor, m2: Tensor, count: int) -> None:
        """Move the running statistics, in place: others may share the buffers."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        kind = self.running_mean.dtype
        self.running_mean.lerp_(mean.to(kind), share)
        self.running_var.lerp_((m2 / (count - 1)).to(kind), share)


class _Normalize(torch.autograd.Function):
    """y = gamma * xhat + beta with the mean and variance of all ranks, in float64 inside."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, group: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, m2, count = _moments(x, group)
        if count < 2:
            raise UsageError("all ranks have one value per channel", hint="use larger batches")
        rate = (m2 / count + eps).rsqrt()
        xhat = (x.double() - _row(mean, x)) * _row(rate, x)
        y = xhat if gamma is None else xhat * _row(gamma.double(), x)
        y = y if beta is None else y + _row(beta.double(), x)
        ctx.save_for_backward(x, gamma, mean, rate)
        ctx.count, ctx.group, ctx.beta = count, group, beta is not None
        total = torch.tensor(count)
        ctx.mark_non_differentiable(mean, m2, total)
        return y.to(x.dtype), mean, m2, total

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, mean, rate = ctx.saved_tensors
        wide = dy.double()
        xhat = (x.double() - _row(mean, x)) * _row(rate, x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        own = torch.stack([wide.sum(axes), (wide * xhat).sum(axes)])
        sums = own.clone()
        dist.all_reduce(sums, group=ctx.group)
        slope = rate if gamma is None else rate * gamma.double()
        mixed = _row(sums[0] / ctx.count, x) + xhat * _row(sums[1] / ctx.count, x)
        dx = (wide - mixed) * _row(slope, x)
        dgamma = None if gamma is None else own[1].to(gamma.dtype)
        dbeta = own[0].to(dy.dtype if gamma is None else gamma.dtype) if ctx.beta else None
        return dx.to(x.dtype), dgamma, dbeta, None, None


def _moments(x: Tensor, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor, int]:
    """Mean and M2 (C,) of all ranks in float64, and the values a channel."""
    rows = x.detach().transpose(0, 1).flatten(1).double()
    n = rows.shape[1]
    mean = rows.sum(1) / max(n, 1)  # a rank without images has no mean, and weight 0
    m2 = (rows - mean[:, None]).square().sum(1)
    own = torch.stack([torch.full_like(mean, n), mean, m2])
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, own, group=group)
    counts, means, squares = torch.stack(parts).unbind(1)
    total = counts.sum(0)
    mean = (counts * means).sum(0) / total.clamp(min=1)
    m2 = (squares + counts * (means - mean).square()).sum(0)
    return mean, m2, int(total[0])


def _row(values: Tensor, x: Tensor) -> Tensor:
    """(C,) so that it lies along axis 1 of x."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def synchronised(model: nn.Module, group: dist.ProcessGroup | None = None) -> nn.Module:
    """The model with every BatchNorm over all ranks: torch's on CUDA, ours elsewhere; in place.

    Raises:
        UsageError: a BatchNorm is of a class of its own, whose forward may do more.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and type(layer) not in PLAIN:
            raise UsageError(
                f"cannot synchronise '{name}': {type(layer).__name__} is no plain BatchNorm",
                hint="train it without --sync-bn",
            )
    if any(p.is_cuda for p in model.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model, group)  # type: ignore[no-any-return,no-untyped-call]
    return _replaced(model, group)


def _replaced(module: nn.Module, group: dist.ProcessGroup | None) -> nn.Module:
    """Ours in a BatchNorm's place, with its own parameters and buffers."""
    for name, child in module.named_children():
        module.add_module(name, _replaced(child, group))
    if type(module) not in PLAIN:
        return module
    layer = AllReduceBatchNorm(0)
    layer.__dict__.update(module.__dict__)
    layer.group = group
    return layer
