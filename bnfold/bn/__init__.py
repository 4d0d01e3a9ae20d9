"""The paper in code: Algorithm 1 as a reference, Algorithm 2, and the fold of one layer.

The reference needs numpy alone; torch is loaded when Algorithm 2 or the layer is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnfold.bn.reference import batch_norm_backward, batch_norm_forward, fold_parameters

if TYPE_CHECKING:
    from bnfold.bn.allreduce import AllReduceBatchNorm
    from bnfold.bn.population import ChannelStatistics, load_statistics, population_statistics

__all__ = [
    "AllReduceBatchNorm",
    "ChannelStatistics",
    "batch_norm_backward",
    "batch_norm_forward",
    "fold_parameters",
    "load_statistics",
    "population_statistics",
]


def __getattr__(name: str) -> Any:
    """Load what needs torch on first use."""
    if name == "AllReduceBatchNorm":
        return getattr(import_module("bnfold.bn.allreduce"), name)
    if name in __all__:
        return getattr(import_module("bnfold.bn.population"), name)
    raise AttributeError(f"module 'bnfold.bn' has no attribute '{name}'")
