"""Named starting points of a run: recipes of the field, and the paper's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bnfold.errors import UsageError
from bnfold.training.config import TrainConfig, nearest

PAPER = TrainConfig(
    model="mnist-mlp-bn", data="mnist", steps=50_000, batch=60, lr=0.1, momentum=0.0,
    nesterov=False, weight_decay=0.0, schedule="constant", warmup=0.0, binarize=True,
    log_every=100, threads=1,
)  # fmt: skip
# section 4.2: GoogLeNet's recipe, as far as the two papers give it (docs/paper.md has the rest)
INCEPTION = TrainConfig(
    model="inception", data="imagenet", steps=31_000_000, batch=32, lr=0.0015, nesterov=False,
    weight_decay=2e-4, schedule="exponential", decay=0.96, decay_epochs=8.0, warmup=0.0,
    flip=True, jitter=0.4, shuffle="batches", log_every=1000, save_every=1,
)  # fmt: skip
# 4.2.1, beside the rate: no dropout, a fifth of L2, decay 6 times as fast, no LRN, examples that
# meet others each epoch, weaker distortion of colours
ACCELERATED = replace(
    INCEPTION, model="bn-inception", steps=6_000_000, weight_decay=INCEPTION.weight_decay / 5,
    decay_epochs=INCEPTION.decay_epochs / 6, shuffle="auto", jitter=INCEPTION.jitter / 2,
)  # fmt: skip
PRESETS: Mapping[str, TrainConfig] = {
    # one thread: its tensors are too small to share, and on a busy machine waiting costs 20 times
    "digits": TrainConfig(model="digits", data="digits", epochs=20, shift=1, threads=1),
    "mnist": TrainConfig(
        model="resnet8", data="mnist", epochs=2, batch=128, shift=2, save_every=1, log_every=50
    ),
    "fashion-mnist": TrainConfig(
        model="resnet8", data="fashion-mnist", epochs=10, batch=128, shift=2, log_every=50
    ),
    # section 4.1: 50,000 steps of 60 binary images, plain SGD; the rate is not in the paper
    "cifar10": TrainConfig(
        model="resnet20", data="cifar10", epochs=30, batch=128, shift=4, flip=True, log_every=50
    ),
    # the recipe of published ResNet-50 weights, at 256 images a step
    "imagenet": TrainConfig(
        model="resnet50", data="imagenet", epochs=90, batch=256, lr=0.1, weight_decay=1e-4,
        warmup=5 / 90, label_smoothing=0.1, flip=True, precision="bfloat16", log_every=50,
        save_every=1,
    ),
    "mnist-paper": PAPER,
    "mnist-paper-plain": replace(PAPER, model="mnist-mlp"),
    # section 4.2.2, Figure 3
    "inception": INCEPTION,
    "bn-baseline": replace(INCEPTION, model="bn-inception,lrn=true,dropout=0.4"),
    "bn-x5": replace(ACCELERATED, lr=5 * INCEPTION.lr),
    "bn-x30": replace(ACCELERATED, lr=30 * INCEPTION.lr),
    "bn-x5-sigmoid": replace(
        ACCELERATED, lr=5 * INCEPTION.lr, model="bn-inception,nonlinearity=sigmoid"
    ),
}  # fmt: skip


def preset(name: str) -> TrainConfig:
    """A named starting point.

    Raises:
        UsageError: there is no preset of this name.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset '{name}'", hint=nearest(name, PRESETS))
    return PRESETS[name]
