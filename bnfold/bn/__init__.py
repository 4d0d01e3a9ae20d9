"""The paper in code: Algorithm 1 as a reference, Algorithm 2, and the fold of one layer.

The reference needs numpy alone; torch is loaded when Algorithm 2 is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnfold.bn.reference import batch_norm_backward, batch_norm_forward, fold_parameters

if TYPE_CHECKING:
    from bnfold.bn.population import ChannelStatistics, load_statistics, population_statistics

__all__ = [
    "ChannelStatistics",
    "batch_norm_backward",
    "batch_norm_forward",
    "fold_parameters",
    "load_statistics",
    "population_statistics",
]


def __getattr__(name: str) -> Any:
    """Load Algorithm 2, and with it torch, on first use."""
    if name in __all__:
        return getattr(import_module("bnfold.bn.population"), name)
    raise AttributeError(f"module 'bnfold.bn' has no attribute '{name}'")
