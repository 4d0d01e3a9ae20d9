"""The original as this machine's ONNX Runtime can run it: what is deployed is compared with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from bnfold import onnxfile
from bnfold.deployment import lowering, targets
from bnfold.deployment.order import Order
from bnfold.errors import CheckFailed
from bnfold.ops64 import EvaluationError, Evaluator, Unsupported
from bnfold.show import show
from bnfold.verification.cases import Case, generated
from bnfold.verification.measures import numeric, rms
from bnfold.verification.subject import subject

# two exact forms of one graph in float64: what is left is the order of sums
_SAME = 1e-9


def reference(source: onnxfile.ModelFile, order: Order, folder: Path) -> Path:
    """The source itself, or, where it is too new for this machine, a lowered copy in `folder`.

    Raises:
        CheckFailed: no lowered copy can be had that does the same in float64.
    """
    here = targets.installed()
    model = source.model
    if lowering.opset_of(model) <= here.limits.opset and model.ir_version <= here.limits.ir:
        return source.path
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    low = lowering.lowered(copy, here)
    path = folder / "source.onnx"
    onnxfile.write(low.model, path, data=source.data)
    if low.converted and not _same(source, path, order, folder):
        raise lowering.refusal(here, low.converted, "converted, it does something else in float64")
    return path


def _same(source: onnxfile.ModelFile, path: Path, order: Order, folder: Path) -> bool:
    """Whether both give the same in float64 on the golden inputs."""
    truth = Evaluator(source.model, read=source.data.array)
    with subject(path, "lowered", folder) as other:
        low = Evaluator(other.model, read=other.data.array)
        cases = generated(other.inputs, order.batches, order.shapes, order.seed)
        return all(_alike(truth, low, case) for case in cases)


def _alike(truth: Evaluator, low: Evaluator, case: Case) -> bool:
    try:
        a, b = truth.run(case.feeds), low.run(case.feeds)
    except (Unsupported, EvaluationError) as cause:
        raise CheckFailed(f"the model cannot be compared in float64: {show(cause)}") from cause
    for name, exact in a.items():
        if exact.shape != b[name].shape:
            return False
        apart = rms(numeric(b[name]) - numeric(exact))
        if not np.isfinite(apart) or apart > _SAME * rms(numeric(exact)):
            return False
    return True
