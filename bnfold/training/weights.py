"""Weights to start from: a run or checkpoint of ours, a safetensors file, a plain state dict."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bnfold.errors import DataError, UsageError
from bnfold.training import checkpoint as checkpoints

WRAPPERS = ("state_dict", "model", "model_state_dict")  # keys under which trainers put weights
PREFIXES = ("module.", "_orig_mod.")  # what DDP and torch.compile put in front of names
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")  # as still published
COUNTER = "num_batches_tracked"  # absent from weights older than torch 0.4.1


def read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors by name; nothing in the file is run.

    Raises:
        UsageError: there is no such file or folder.
        DataError: it is damaged, holds anything but tensors, or asks for code.
    """
    file = Path(path)
    if file.is_dir():
        return dict(checkpoints.load(file).model.state_dict())
    if not file.is_file():
        raise UsageError("no such weights", where=str(file))
    if file.suffix == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(file)
        except (SafetensorError, OSError, ValueError) as cause:
            raise DataError(f"not a safetensors file: {cause}", where=str(file)) from cause
        return tensors
    return _plain(_loaded(file), str(file))


def fit(model: nn.Module, tensors: Mapping[str, Tensor], classes: int, where: str) -> list[str]:
    """Load the tensors; the last layer keeps its own where the file's is for other classes.

    Answers the names of the tensors that were kept.

    Raises:
        DataError: naming the first tensor that is missing, left over, or of another shape.
    """
    own = model.state_dict()
    given = {n if n in own else OLD_DENSENET.sub(r"\1\2", n): t for n, t in tensors.items()}
    kept = [name for name in _head(model, classes) if _other_count(own[name], given.get(name))]
    counters = [name for name in own if name.endswith(COUNTER) and name not in given]
    for name in kept + counters:
        given[name] = own[name]
    checkpoints.fit_weights(model, given, where)
    return kept


def _loaded(file: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as cause:  # unpickling damaged bytes raises what it likes
        raise DataError(
            "does not load safely as weights", where=str(file),
            hint="save model.state_dict(), or a .safetensors file",
        ) from cause  # fmt: skip


def _plain(found: Any, where: str) -> dict[str, Tensor]:
    """The state dict in it, under the names that the model gives."""
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise DataError("holds no state dict", where=where)
    tensors: dict[str, Tensor] = {}
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise DataError(f"'{name}' is {type(value).__name__}, not a tensor", where=where)
        for prefix in PREFIXES:
            name = str(name).removeprefix(prefix)
        tensors[name] = value
    return tensors


def _head(model: nn.Module, classes: int) -> list[str]:
    """The names of the last layer's tensors, where that layer answers with one value a class."""
    last = ""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and weight is not None:
            last = name if weight.shape[0] == classes else ""
    prefix = f"{last}." if last else ""
    names = [n for n, _ in model.named_parameters() if prefix and n.startswith(prefix)]
    return [n for n in names if n.removeprefix(prefix) in ("weight", "bias")]


def _other_count(own: Tensor, given: Tensor | None) -> bool:
    """Of the same shape but for the number of classes."""
    return given is not None and own.shape != given.shape and own.shape[1:] == given.shape[1:]
