"""The paper's experiments, run again: `reproduce_mnist` is Figure 1."""

from bnfold.reproduction.mnist import Figure1, reproduce_mnist
from bnfold.reproduction.scale import FULL, SMOKE, Scale

__all__ = ["FULL", "SMOKE", "Figure1", "Scale", "reproduce_mnist"]
