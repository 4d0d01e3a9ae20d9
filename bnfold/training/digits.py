"""The 1,797 handwritten digits that scikit-learn brings, 8x8 with 17 grey levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnfold.extras import require
from bnfold.training.dataset import Dataset, in_memory, split

SPLIT_SEED = 0  # the held-out digits are the same for every seed of a run
HELD_OUT = 360


def digits(*, binarize: bool = False) -> Dataset:
    """The digits, HELD_OUT of them held out.

    Raises:
        EnvironmentLacks: scikit-learn is not installed.
    """
    bunch = require("sklearn.datasets", "train").load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    held = _held_out(labels)
    train, test = split(images[~held], labels[~held]), split(images[held], labels[held])
    return in_memory("digits", train, test, top=16, binarize=binarize)


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A stratified choice of HELD_OUT samples: the classes take turns."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # how many of its class came before it
    for label in np.unique(labels):
        own = order[labels[order] == label]
        rank[own] = np.arange(len(own))
    chosen = order[np.argsort(rank[order], kind="stable")][:HELD_OUT]
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return mask
