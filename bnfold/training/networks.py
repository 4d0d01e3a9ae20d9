"""A network by its name in bnfold_models, or from the user's own package.module:callable."""

from __future__ import annotations

import importlib
import os
import sys

from torch import nn

from bnfold.errors import UsageError
from bnfold_models import create, names


def check(name: str) -> None:
    """Refuse a name that `build` could not resolve, before anything is made for the run.

    Raises:
        UsageError: no such name, module or callable.
    """
    if ":" in name:
        _callable(name)
    elif name not in names():
        create(name)


def build(name: str, *, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """A fresh network for (N, channels, *size) images; a callable gets the same keywords.

    Raises:
        UsageError: no such name, module or callable, or it returns no torch module.
    """
    if ":" not in name:
        return create(name, classes=classes, channels=channels, size=size)
    made = _callable(name)(classes=classes, channels=channels, size=size)
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}, not a torch.nn.Module")
    return made


def _callable(name: str):  # type: ignore[no-untyped-def]
    """What package.module:callable names, looked for in the working folder too."""
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as cause:
        raise UsageError(f"cannot import '{module_name}': {cause}", where=name) from cause
    except AttributeError as cause:
        raise UsageError(f"'{module_name}' has no '{attribute}'", where=name) from cause
    if not callable(found):
        raise UsageError(f"'{attribute}' of '{module_name}' is not callable", where=name)
    return found
