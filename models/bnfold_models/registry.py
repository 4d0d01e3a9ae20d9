"""The networks by name: one literal table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from bnfold.errors import UsageError
from bnfold_models.densenet import densenet121, densenet_small
from bnfold_models.digits import digits
from bnfold_models.imagenet_resnet import preact_resnet50, resnet18, resnet34, resnet50, resnet101
from bnfold_models.inception import (
    BN_INCEPTION,
    BN_INCEPTION_SMALL,
    INCEPTION,
    INCEPTION_SMALL,
    Design,
    build,
)
from bnfold_models.mlp import mnist_mlp, mnist_mlp_bn
from bnfold_models.mobilenet import mobilenet_small
from bnfold_models.mobilenet_v2 import mobilenet_v2
from bnfold_models.options import with_options
from bnfold_models.preact import preact8
from bnfold_models.repvgg import repvgg_a0, repvgg_small
from bnfold_models.resnet import resnet8, resnet20
from bnfold_models.vgg import vgg_small
from bnfold_models.vgg16 import vgg16_bn

Factory = Callable[[int, int, tuple[int, int]], nn.Module]

MODELS: Mapping[str, Factory] = {
    # for small images
    "densenet-small": densenet_small,
    "digits": digits,
    "mnist-mlp": mnist_mlp,
    "mnist-mlp-bn": mnist_mlp_bn,
    "mobilenet-small": mobilenet_small,
    "preact8": preact8,
    "repvgg-small": repvgg_small,
    "resnet8": resnet8,
    "resnet20": resnet20,
    "vgg-small": vgg_small,
    # at ImageNet size, with the keys of published weights (preact-resnet50: none are in use)
    "densenet121": densenet121,
    "mobilenet-v2": mobilenet_v2,
    "preact-resnet50": preact_resnet50,
    "repvgg-a0": repvgg_a0,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "vgg16-bn": vgg16_bn,
}
DESIGNS: Mapping[str, Design] = {  # with options: NAME,KEY=VALUE,...
    "inception-small": INCEPTION_SMALL,
    "bn-inception-small": BN_INCEPTION_SMALL,
    "inception": INCEPTION,
    "bn-inception": BN_INCEPTION,
}


def names() -> tuple[str, ...]:
    """Every name that `create` takes, sorted."""
    return tuple(sorted([*MODELS, *DESIGNS]))


def nearest(name: str) -> str:
    """The names most like `name` for a hint, or all of them."""
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
    return f"did you mean {', '.join(near)}?" if near else f"known models: {', '.join(names())}"


def create(
    name: str, *, classes: int = 10, channels: int = 1, size: tuple[int, int] = (28, 28)
) -> nn.Module:
    """A fresh network, drawn from torch's global generator, for (N, channels, *size) images.

    A family with options takes them behind its name: `bn-inception,width=0.5,stem=separable`.

    Raises:
        UsageError: no network has this name or option, or a count is below one.
    """
    factory = _factory(name)
    if min(classes, channels, *size) < 1:
        raise UsageError(f"model '{name}': classes, channels and sizes must be at least 1")
    return factory(classes, channels, size)


def _factory(name: str) -> Factory:
    base, *settings = name.split(",")
    if base in DESIGNS:
        return partial(build, with_options(DESIGNS[base], settings, name))
    if base not in MODELS:
        raise UsageError(f"unknown model '{base}'", hint=nearest(base))
    if settings:
        raise UsageError(f"model '{base}' has no options")
    return MODELS[base]
