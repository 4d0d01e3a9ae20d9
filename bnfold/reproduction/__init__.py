"""The paper's experiments, run again: Figure 1 (`reproduce_mnist`), 2 and 3 (`inception`), 4."""

from bnfold.reproduction.ensemble import (
    IMAGENET_SIX,
    SMALL_SIX,
    SMALLEST_TWO,
    Figure4,
    reproduce_ensemble,
)
from bnfold.reproduction.inception import Figure3, reproduce_inception
from bnfold.reproduction.mnist import Figure1, reproduce_mnist
from bnfold.reproduction.scale import FULL, SMOKE, Scale
from bnfold.reproduction.study import IMAGENET, SMALL, SMALLEST, Study, changed

__all__ = [
    "FULL", "IMAGENET", "IMAGENET_SIX", "SMALL", "SMALLEST", "SMALLEST_TWO", "SMALL_SIX", "SMOKE",
    "Figure1", "Figure3", "Figure4", "Scale", "Study", "changed", "reproduce_ensemble",
    "reproduce_inception", "reproduce_mnist",
]  # fmt: skip
