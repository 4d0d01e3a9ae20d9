"""The exported graph against the eval-mode module, on the same inputs, before anything is written.

The tolerance: largest difference <= RTOL * root mean square of the module's output. Two float32
programs that sum the same terms in another order differ by about 1e-7 to 1e-5 of that (measured on
the networks here: see tests/exporting); a lost bias, epsilon, or statistic moves it by 1e-3 and
more. 1e-4 lies between. It scales with the type's unit roundoff: 2^-24, 2^-53, 2^-11, 2^-8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from bnfold.errors import CheckFailed, ModelError
from bnfold.exporting.source import Source

BATCHES = (1, 2, 5)
RTOL = {torch.float32: 1e-4, torch.float64: 1e-12, torch.float16: 2e-2, torch.bfloat16: 1e-1}
TINY = 2.0**-126  # the smallest normal float32: an output of zeros is compared absolutely

Array = NDArray[Any]
Runner = Callable[[Mapping[str, Array]], Sequence[Array]]


def refuse_difference(
    model: onnx.ModelProto, source: Source, *, rtol: float | None = None, seed: int = 0
) -> float:
    """Compare at several batch sizes; the largest difference seen, over the output's rms.

    Raises:
        CheckFailed: an output differs, in shape or by more than the tolerance, or is not finite.
        ModelError: no runtime can run the graph.
    """
    tolerance = RTOL.get(source.dtype, 1e-4) if rtol is None else rtol
    run = _runner(model)
    names = [value.name for value in model.graph.input]
    worst = 0.0
    for batch in BATCHES:
        inputs = source.inputs(batch, seed + batch)
        with torch.inference_mode():
            wanted = flattened(source.model(*inputs))
        feeds = {name: _array(x) for name, x in zip(names, inputs, strict=True)}
        got = run(feeds)
        if len(got) != len(wanted):
            raise CheckFailed(f"the graph has {len(got)} outputs, the module {len(wanted)}")
        for value, there, here in zip(model.graph.output, got, wanted, strict=True):
            difference = _difference(there, here, f"output '{value.name}', batch {batch}")
            if not difference <= tolerance:  # so written that NaN is refused
                raise CheckFailed(
                    f"the exported graph differs from the module by {difference:.2e} of the rms, "
                    f"{tolerance:.0e} is allowed",
                    where=f"output '{value.name}', batch {batch}",
                    hint=_repeats(source, inputs),
                )
            worst = max(worst, difference)
    return worst


def _repeats(source: Source, inputs: Sequence[torch.Tensor]) -> str | None:
    """A module that answers the same question in two ways cannot be matched by any graph."""
    with torch.inference_mode():
        once, again = (flattened(source.model(*inputs)) for _ in range(2))
    same = all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    return None if same else "the module is random in eval mode: two runs on one input differ"


def flattened(out: object) -> list[torch.Tensor]:
    """The tensors of a module's output, in the exporter's order."""
    if isinstance(out, torch.Tensor):
        return [out]
    if isinstance(out, Mapping):
        return [t for value in out.values() for t in flattened(value)]
    if isinstance(out, (tuple, list)):
        return [t for value in out for t in flattened(value)]
    return []


def _difference(there: Array, here: torch.Tensor, where: str) -> float:
    """Largest |a - b| / rms(b), in float64."""
    ours = here.detach().double().numpy()
    theirs = np.asarray(there).astype(np.float64)
    if ours.shape != theirs.shape:
        raise CheckFailed(f"the graph gives {theirs.shape}, the module {ours.shape}", where=where)
    if not np.isfinite(ours).all():
        raise CheckFailed("the module's own output holds NaN or infinity", where=where)
    if not ours.size:
        return 0.0
    rms = float(np.sqrt(np.mean(ours**2)))
    return float(np.abs(theirs - ours).max()) / max(rms, TINY)


def _array(x: torch.Tensor) -> Array:
    """As numpy; bfloat16, which numpy lacks, through float32."""
    if x.dtype != torch.bfloat16:
        return x.numpy()
    import ml_dtypes

    return x.float().numpy().astype(ml_dtypes.bfloat16)


def _runner(model: onnx.ModelProto) -> Runner:
    """ONNX Runtime with optimisation off; onnx.reference where it is not there or has no kernel."""
    try:
        return _onnxruntime(model)
    except Exception:  # not installed, or no kernel for a type: it raises types of its own
        pass
    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as cause:
        raise ModelError(f"the exported graph cannot be run: {cause}") from cause
    return lambda feeds: list(evaluator.run(None, dict(feeds)))


def _onnxruntime(model: onnx.ModelProto) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda feeds: list(session.run(None, dict(feeds)))
