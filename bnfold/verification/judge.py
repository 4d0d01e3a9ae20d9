"""`verify`: two models, the same inputs, three gates, one sentence."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bnfold import child
from bnfold.errors import UsageError
from bnfold.verification import layers as layer_walk
from bnfold.verification.brought import MAX_BYTES, Brought, brought
from bnfold.verification.cases import Array, Shapes, generated
from bnfold.verification.runtime import Runtime
from bnfold.verification.subject import Model, Subject, check_signatures, subject
from bnfold.verification.tolerance import Tolerance
from bnfold.verification.trial import Progress, Trial
from bnfold.verification.verdict import Verdict

Metric = Callable[[Callable[[Mapping[str, Array]], dict[str, Array]]], float]


def verify(
    a: Model,
    b: Model,
    *,
    batches: Sequence[int] = (1, 3),
    shapes: Shapes | None = None,
    provider: str = "cpu",
    inputs: Brought | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    layers: bool = False,
    metric: Metric | None = None,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = child.SECONDS,
    progress: Progress | None = None,
) -> Verdict:
    """Is `b` the same function as `a`, up to rounding?

    Args:
        a: the original: a path, the file's bytes or a ModelProto.
        b: the candidate.
        batches: batch sizes of the generated inputs, where the model's batch is open.
        shapes: sizes by input name (the batch may be left out) or by symbol.
        provider: "cpu" or "cuda"; ONNX Runtime runs in a child process.
        inputs: a .npz, a folder of .npy or of ONNX test sets, or arrays by input name.
        rtol: with `atol`: judge elementwise by |b - a| <= atol + rtol |a| instead of the gates.
        atol: see `rtol`.
        seed: of the inputs and of the jitter.
        layers: compare all tensors that both models name alike.
        metric: called with each model's `run(feeds) -> outputs`; its number is shown for both.
        max_bytes: the most that files of inputs may hold.
        timeout_s: the most that ONNX Runtime may take to load a model or to run it once.
        progress: called with steps done, steps in all, and what is done now.

    Raises:
        UsageError: a missing file, sizes or a provider that cannot be.
        ModelError: not a sound ONNX model, or ONNX Runtime cannot load it.
        CheckFailed: the signatures differ, or the original's own outputs hold NaN or Inf.
        EnvironmentLacks: no onnxruntime, no CUDA where it was asked for.
        DataError: inputs that are damaged, do not fit or hold NaN.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bnfold-") as folder:
        pair = _subjects(a, b, Path(folder))
        given = None if inputs is None else brought(inputs, pair[0].inputs, max_bytes)
        cases = given or generated(pair[0].inputs, _batches(batches), shapes, seed)
        told = progress or (lambda done, of, what: None)
        with Runtime(provider, timeout_s=timeout_s) as runtime:
            trial = Trial(pair, cases, runtime, Tolerance(rtol, atol), seed, told)
            trial.run()
            numbers = None if metric is None else _metric(metric, runtime, pair)
            trial.close()
        walked = layer_walk.layers(pair[0], pair[1], cases[0], seed) if layers else ()
    return replace(
        trial.verdict(walked), metric=numbers, seconds=round(time.monotonic() - began, 3)
    )


def _subjects(a: Model, b: Model, folder: Path) -> tuple[Subject, Subject]:
    first, second = subject(a, "original", folder), subject(b, "candidate", folder)
    if first.label == second.label:  # sessions and reports are told apart by it
        first = replace(first, label=f"{first.label} (original)")
        second = replace(second, label=f"{second.label} (candidate)")
    check_signatures(first, second)
    return first, second


def _batches(batches: Sequence[int]) -> tuple[int, ...]:
    found = tuple(dict.fromkeys(int(batch) for batch in batches))
    if not found or min(found) < 1:
        raise UsageError(f"batch sizes {list(batches)} cannot be", hint="--batch 1,3")
    return found


def _metric(metric: Metric, runtime: Runtime, pair: tuple[Subject, Subject]) -> tuple[float, float]:
    numbers = []
    for side in pair:
        key = runtime.load(side, "none")

        def run(feeds: Mapping[str, Array], key: str = key) -> dict[str, Array]:
            return runtime.run(key, feeds)

        numbers.append(float(metric(run)))
    return numbers[0], numbers[1]
