"""Every operator that bnfold evaluates, once, in float64."""

from typing import TYPE_CHECKING, Any

from bnfold.ops64.call import Unsupported
from bnfold.ops64.compute import attribute_values, compute

if TYPE_CHECKING:
    from bnfold.ops64.evaluator import EvaluationError, Evaluator, evaluate

__all__ = [
    "EvaluationError",
    "Evaluator",
    "Unsupported",
    "attribute_values",
    "compute",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    # the evaluator imports onnx; `compute` alone does not
    if name in ("EvaluationError", "Evaluator", "evaluate"):
        from bnfold.ops64 import evaluator

        return getattr(evaluator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
