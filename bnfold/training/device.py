"""Where torch computes, and what it lacks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bnfold.errors import EnvironmentLacks, RunStopped, UsageError

logger = logging.getLogger(__name__)


def select(name: str = "auto") -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here; `auto` takes CUDA where there is some.

    Raises:
        UsageError: another name.
        EnvironmentLacks: CUDA is asked for and torch has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"unknown device '{name}'", hint="one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"no usable GPU for CUDA {built}" if built else "this torch is built without CUDA"
        raise EnvironmentLacks(f"no CUDA device: {why}", hint="--device cpu, or see bnfold doctor")
    return torch.device(name)


def layout_of(name: str, device: torch.device) -> torch.memory_format:
    """`auto` is channels last on CUDA, whose kernels want it, else contiguous."""
    last = name == "channels_last" or (name == "auto" and device.type == "cuda")
    return torch.channels_last if last else torch.contiguous_format


def placed(model: nn.Module, device: torch.device, layout: str = "auto") -> nn.Module:
    """The model on the device, its kernels laid out."""
    model.to(memory_format=layout_of(layout, device))  # type: ignore[call-overload]
    return model.to(device)


@contextmanager
def numerics(precision: str, *, deterministic: bool) -> Iterator[None]:
    """TF32 only where asked for, and if wanted one result for one input; as before afterwards.

    torch's own default is TF32 for convolutions and not for matrices; the three switches of the
    new interface are set each, since the old names refuse to answer once these disagree.
    """
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    parts: list[Any] = [cuda, cudnn.conv, cudnn.rnn]  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    settings = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    wanted = "tf32" if precision == "tf32" else "ieee"
    logger.info("float32 products on CUDA: %s; deterministic: %s", wanted, deterministic)
    try:
        for part in parts:
            part.fp32_precision = wanted
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts
            torch.use_deterministic_algorithms(mode=True)
        torch.backends.cudnn.benchmark = not deterministic
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.fp32_precision = value
        torch.use_deterministic_algorithms(settings[0])
        torch.backends.cudnn.benchmark = settings[1]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of torch on the CPU (0: as many as now); as before afterwards."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def memory_told(doing: Callable[[], str], batch: int) -> Iterator[None]:
    """Tell a GPU's lack of memory in one line.

    Raises:
        RunStopped: CUDA is out of memory; what was saved can be resumed.
    """
    try:
        yield
    except torch.OutOfMemoryError as cause:
        raise RunStopped(
            f"CUDA out of memory {doing()} with batch={batch}",
            hint="free the GPU and --resume, or begin anew with a smaller batch",
        ) from cause
