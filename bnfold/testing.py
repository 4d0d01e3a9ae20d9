"""For a project's own tests: assertions on models, and the pytest fixture `bnfold_verify`.

Imports nothing but pytest until one of them is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bnfold.latency import BenchReport
    from bnfold.verification import Verdict
    from bnfold.verification.subject import Model


def assert_equivalent(original: Model, candidate: Model, **how: Any) -> Verdict:
    """`verify` holds; `how` are its keyword arguments. The verdict is given back.

    Raises:
        AssertionError: it does not; the message names the gate and what departed.
        BnfoldError: the question could not be answered (`bnfold.verification.verify`).
    """
    from bnfold.verification import verify

    verdict = verify(original, candidate, **how)
    if not verdict.ok:
        raise AssertionError("\n".join((verdict.sentence, *verdict.notes)))
    return verdict


def assert_folded(model: Model, left: int = 0) -> int:
    """At most `left` BatchNormalization nodes are in the model, in any scope; the count.

    Raises:
        AssertionError: there are more.
        UsageError: there is no such file.
        ModelError: it is no ONNX model.
    """
    import onnx

    from bnfold import onnxfile
    from bnfold.latency.subjects import count_operator

    if isinstance(model, bytes):
        proto = onnxfile.parse(model)
    else:
        proto = model if isinstance(model, onnx.ModelProto) else onnxfile.read(model).model
    found = count_operator(proto, "BatchNormalization")
    if found > left:
        raise AssertionError(f"{found} BatchNormalization nodes are left, {left} were allowed")
    return found


def assert_not_slower(original: Model, candidate: Model, **how: Any) -> BenchReport:
    """No batch size at which the candidate is proven slower; `how` are `bench`'s keywords.

    Raises:
        AssertionError: it is; the message gives the interval.
        BnfoldError: the question could not be answered (`bnfold.latency.bench`).
    """
    from bnfold.latency import bench
    from bnfold.latency.estimate import Verdict as Slower

    report = bench([original, candidate], **how)
    slower = [c.sentence for c in report.comparisons if c.verdict is Slower.SLOWER]
    if slower:
        raise AssertionError("\n".join(slower))
    return report


@pytest.fixture
def bnfold_verify() -> Callable[..., Verdict]:
    """`assert_equivalent`, for tests that take it as an argument."""
    return assert_equivalent
