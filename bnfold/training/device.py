"""Where torch computes, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from bnfold.errors import EnvironmentLacks, RunStopped, UsageError


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


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device: channels last on CUDA, whose kernels want it, else contiguous."""
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    return model.to(device)


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
def memory_told(doing: str, batch: int) -> Iterator[None]:
    """Tell a GPU's lack of memory in one line.

    Raises:
        RunStopped: CUDA is out of memory; what was saved can be resumed.
    """
    try:
        yield
    except torch.OutOfMemoryError as cause:
        raise RunStopped(
            f"CUDA out of memory {doing} with batch={batch}",
            hint="free the GPU and --resume, or begin anew with a smaller batch",
        ) from cause
