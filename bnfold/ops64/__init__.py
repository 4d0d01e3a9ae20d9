"""Every operator that bnfold evaluates, once, in float64."""

from bnfold.ops64.call import Unsupported
from bnfold.ops64.compute import attribute_values, compute

__all__ = ["Unsupported", "attribute_values", "compute"]
