"""A metric of the user's own: the task's number for both models, shown beside the gates."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Mapping

from bnfold.errors import BnfoldError, UsageError
from bnfold.show import show
from bnfold.verification.cases import Array
from bnfold.verification.runtime import Runtime
from bnfold.verification.subject import Subject

Run = Callable[[Mapping[str, Array]], dict[str, Array]]
Metric = Callable[[Run], float]


def named(name: str) -> Metric:
    """What `package.module:callable` names, looked for in the working folder too.

    Raises:
        UsageError: there is no such module or callable.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UsageError(
            f"'{show(name)}' is not package.module:callable", hint="--metric tasks:top1"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except AttributeError as cause:
        raise UsageError(f"'{show(module)}' has no '{show(attribute)}'", where=name) from cause
    except Exception as cause:  # the user's module may raise anything
        raise UsageError(f"cannot import '{show(module)}': {show(cause)}", where=name) from cause
    if not callable(found):
        raise UsageError(f"'{show(attribute)}' is not callable", where=name)
    return found  # type: ignore[no-any-return]


def measured(
    metric: Metric, runtime: Runtime, pair: tuple[Subject, Subject]
) -> tuple[float, float]:
    """The original's number and the candidate's, at ONNX Runtime's default level.

    Raises:
        UsageError: the metric raises, or returns no number.
    """
    first, second = (_number(metric, runtime, side) for side in pair)
    return first, second


def _number(metric: Metric, runtime: Runtime, side: Subject) -> float:
    key = runtime.load(side, "all")
    try:
        number = float(metric(lambda feeds: runtime.run(key, feeds)))
    except BnfoldError:
        raise
    except Exception as cause:
        what = f"{type(cause).__name__}: {show(cause, 300)}"
        raise UsageError(f"the metric fails: {what}", where=side.label) from cause
    if math.isnan(number):
        raise UsageError("the metric returns NaN", where=side.label)
    return number
