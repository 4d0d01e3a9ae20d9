"""The paper's experiments, run again: Figure 1 (`reproduce_mnist`), 2 and 3 (`..._inception`)."""

from bnfold.reproduction.inception import Figure3, reproduce_inception
from bnfold.reproduction.mnist import Figure1, reproduce_mnist
from bnfold.reproduction.scale import FULL, SMOKE, Scale
from bnfold.reproduction.study import IMAGENET, SMALL, SMALLEST, Study, changed

__all__ = [
    "FULL", "IMAGENET", "SMALL", "SMALLEST", "SMOKE", "Figure1", "Figure3", "Scale", "Study",
    "changed",    "reproduce_inception", "reproduce_mnist",
]  # fmt: skip
