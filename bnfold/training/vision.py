"""torchvision:NAME and timm:NAME, both behind one door: they fail to import in many ways."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bnfold.errors import EnvironmentLacks, UsageError

LIBRARIES = ("torchvision", "timm")


def check(name: str) -> None:
    """Refuse what `build` could not make.

    Raises:
        EnvironmentLacks: the library does not import.
        UsageError: it has no such network.
    """
    library, _, network = name.partition(":")
    found = _library(library)
    models = found.models if library == "torchvision" else None  # classifiers, of all it has
    known = models.list_models(module=models) if models else found.list_models()
    if network not in known:
        near = difflib.get_close_matches(network, known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else None
        raise UsageError(f"{library} has no network '{network}'", hint=hint)


def build(name: str, *, classes: int, channels: int) -> nn.Module:
    """A fresh network without weights.

    Raises:
        EnvironmentLacks: the library does not import.
        UsageError: it has no such network, or not for so many channels.
    """
    check(name)
    library, _, network = name.partition(":")
    found = _library(library)
    if library == "timm":
        made = found.create_model(network, pretrained=False, num_classes=classes, in_chans=channels)
    elif channels != 3:
        raise UsageError(f"{name} takes 3 channels, the data has {channels}")
    else:
        plain = _without_side_exits(found.models.get_model_builder(network))
        made = found.models.get_model(network, weights=None, num_classes=classes, **plain)
    assert isinstance(made, nn.Module)
    return made


def _without_side_exits(builder: Callable[..., Any]) -> dict[str, bool]:
    """What makes GoogLeNet and Inception v3 give scores alone in training, without a warning."""
    network = inspect.signature(builder).return_annotation
    known = inspect.signature(network).parameters if isinstance(network, type) else {}
    return {k: v for k, v in {"aux_logits": False, "init_weights": True}.items() if k in known}


def _library(name: str) -> ModuleType:
    """Import it; a torchvision built for another torch raises RuntimeError, OSError and others.

    Raises:
        EnvironmentLacks: it does not import, with the pair of versions to install.
    """
    try:
        if name == "torchvision":
            importlib.import_module("torchvision.models")
        return importlib.import_module(name)
    except Exception as cause:
        raise EnvironmentLacks(
            f"{name} does not import: {type(cause).__name__}: {cause}", hint=f"pip install {pair()}"
        ) from cause


def pair() -> str:
    """The torchvision that goes with this torch: 0.(m+15) with 2.m, since torch 2.0."""
    release, _, build = torch.__version__.partition("+")
    major, minor, *_ = release.split(".")
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"torch=={release} torchvision=={int(major) - 2}.{int(minor) + 15}.* timm{index}"
