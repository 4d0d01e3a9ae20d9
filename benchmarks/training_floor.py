"""What a training step must cost: multiplications and bytes of a network, rates of a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_LINEAR = ("convolution", "mm", "addmm", "bmm", "baddbmm")


@dataclass(frozen=True)
class Cost:
    """Of one image, forward and backward.

    FLOPs; elements read and written by all operators, and by the linear ones alone.
    """

    flops: float
    eager: float
    fused: float


class _Accesses(TorchDispatchMode):
    """Counts each operator's tensors once; a view touches nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.eager = self.fused = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if not function.is_view:
            count = sum(t.numel() for t in _tensors((args, made)))
            self.eager += count
            if function.overloadpacket.__name__.removesuffix("_backward") in _LINEAR:
                self.fused += count
        return made


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [t for item in value for t in _tensors(item)]
    return []


def cost(model: nn.Module, size: int, batch: int = 8) -> Cost:
    """Counted on tensors without memory."""
    model = model.to("meta").train()
    images = torch.empty(batch, 3, size, size, device="meta")
    accesses, flops = _Accesses(), FlopCounterMode(display=False)
    with flops, accesses:
        model(images).sum().backward()
    return Cost(flops.get_total_flops() / batch, accesses.eager / batch, accesses.fused / batch)


@dataclass(frozen=True)
class Rates:
    """FLOPs and bytes a second, and the bytes of an element."""

    flops: float
    bytes: float
    width: int


@cache
def rates(device: str, dtype: torch.dtype) -> Rates:
    """The best of a few large matmuls and copies, here and now."""
    side, wide = (8192, 1 << 28) if device == "cuda" else (512, 1 << 22)
    a = torch.randn(side, side, device=device).to(dtype)
    x = torch.zeros(wide, device=device, dtype=dtype)
    y = torch.empty_like(x)
    width = torch.empty((), dtype=dtype).element_size()
    flops = 2 * side**3 / _best(lambda: a @ a, device)
    return Rates(flops, 2 * wide * width / _best(lambda: y.copy_(x), device), width)


def _best(work: Callable[[], object], device: str) -> float:
    taken = []
    for _ in range(8):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken[2:])


def seconds(flops: float, elements: float, rates: Rates) -> float:
    """The longer of the two: at best one hides the other."""
    return max(flops / rates.flops, elements * rates.width / rates.bytes)
