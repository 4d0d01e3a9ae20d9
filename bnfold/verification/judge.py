"""`verify`: two models, the same inputs, three gates, one sentence."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

from bnfold import child
from bnfold.errors import UsageError
from bnfold.leftovers import temporary_folder
from bnfold.show import show
from bnfold.verification import layers as layer_walk
from bnfold.verification import saved
from bnfold.verification.brought import MAX_BYTES, Brought, brought
from bnfold.verification.cases import (
    OPEN_SIZES,
    Case,
    Misfit,
    OpenSizes,
    Shapes,
    generated,
    resolve,
    sizes_taken,
)
from bnfold.verification.metric import Metric, measured
from bnfold.verification.overrides import check_overrides, overridden
from bnfold.verification.runtime import Runtime
from bnfold.verification.subject import Model, Subject, check_signatures, subject
from bnfold.verification.tolerance import Tolerance
from bnfold.verification.trial import Progress, Trial
from bnfold.verification.verdict import Layer, Verdict

T = TypeVar("T")
MOST_VALUES = 1 << 23  # in inputs of sizes that were guessed: three colour images of 640, and room


@dataclass(frozen=True, slots=True)
class Question:
    """What `verify` was asked, beside the two models."""

    batches: Sequence[int] = (1, 3)
    shapes: Shapes | None = None
    provider: str = "cpu"
    inputs: Brought | None = None
    rtol: float | None = None
    atol: float | None = None
    seed: int = 0
    layers: bool = False
    metric: Metric | None = None
    max_bytes: int = MAX_BYTES
    timeout_s: float = child.SECONDS
    save_inputs: str | os.PathLike[str] | None = None
    progress: Progress | None = None


class Asked(TypedDict, total=False):
    """Keywords of `verify`."""

    batches: Sequence[int]
    """Batch sizes of the generated inputs, where the model's batch is open: (1, 3)."""
    shapes: Shapes | None
    """Sizes by input name (the batch may be left out) or by symbol."""
    provider: str
    """"cpu" or "cuda"; ONNX Runtime runs in a child process."""
    inputs: Brought | None
    """A .npz, a folder of .npy, images or ONNX test sets, or arrays by input name."""
    rtol: float | None
    """With `atol`: judge by |b - a| <= atol + rtol |a|, elementwise, instead of the gates."""
    atol: float | None
    seed: int
    """Of the inputs and of the jitter."""
    layers: bool
    """Compare all tensors that both models name alike."""
    metric: Metric | None
    """Called with each model's `run(feeds) -> outputs`; its number is shown for both."""
    max_bytes: int
    """The most that files of inputs may hold."""
    timeout_s: float
    """The most that ONNX Runtime may take to load a model or to run it once."""
    save_inputs: str | os.PathLike[str] | None
    """A .npz that the inputs are written to."""
    progress: Progress | None
    """Called with steps done, steps in all, and what is done now."""


def verify(a: Model, b: Model, **asked: Unpack[Asked]) -> Verdict:
    """Is `b` the same function as `a`, up to rounding?

    Both may be whatever `fold` takes; the keywords are those of `Asked`.

    Raises:
        UsageError: a missing file, sizes or a provider that cannot be.
        ModelError: not a sound ONNX model, or ONNX Runtime cannot load it.
        CheckFailed: the signatures differ, or the original's own outputs hold NaN or Inf.
        EnvironmentLacks: no onnxruntime, no CUDA where it was asked for.
        DataError: inputs that are damaged, do not fit or hold NaN.
    """
    began = time.monotonic()
    question = Question(**asked)
    if (question.rtol is None) != (question.atol is None):
        raise UsageError("rtol and atol go together", hint="--rtol 1e-3 --atol 1e-5")
    with (
        temporary_folder() as folder,
        subjects(a, b, folder) as pair,
    ):
        verdict = fitting(pair[0], question, lambda cases: _answered(pair, cases, question))
    return replace(verdict, seconds=round(time.monotonic() - began, 3))


def fitting(original: Subject, question: Question, answer: Callable[[tuple[Case, ...]], T]) -> T:
    """The answer on the inputs that the question brings, or on seeded ones.

    Where the model leaves sizes open that nobody gave, several are tried: many a model runs on
    some only.

    Raises:
        UsageError: no such file, or sizes that cannot be.
        DataError: damaged inputs, or such as do not fit.
    """
    child.be_patient(question.timeout_s)
    if question.inputs is not None:
        return answer(
            _kept(brought(question.inputs, original.inputs, question.max_bytes), question)
        )
    batches = _batches(question.batches)
    tried: dict[str, Misfit] = {}
    for sizes in _worth_trying(original, batches, question.shapes):
        cases = generated(original.inputs, batches, question.shapes, question.seed, sizes)
        taken = _taken(original, cases, question)
        try:
            return answer(_kept(cases, question))
        except Misfit as cause:
            tried[taken] = cause
            if not taken:  # all sizes are the model's or the user's
                raise
    first = next(iter(tried.values()))
    hint = f"give its sizes with --shape, or real inputs with --inputs; tried: {'; '.join(tried)}"
    raise Misfit(first.message, where=first.where, hint=hint)


def _worth_trying(
    original: Subject, batches: Sequence[int], shapes: Shapes | None
) -> Iterator[OpenSizes]:
    """Guesses of open sizes: the first, and further ones of a bearable size."""
    for sizes in OPEN_SIZES:
        full = [resolve(original.inputs, batch, shapes, sizes).values() for batch in batches]
        values = max(sum(map(math.prod, one)) for one in full)
        if sizes == OPEN_SIZES[0] or values <= MOST_VALUES:
            yield sizes


def _taken(original: Subject, cases: tuple[Case, ...], question: Question) -> str:
    """The sizes that nobody gave, as `--shape` takes them."""
    taken = sizes_taken(original.inputs, question.shapes, cases[0])
    return " ".join(f"{show(name)}={','.join(map(str, shape))}" for name, shape in taken)


def _kept(cases: tuple[Case, ...], question: Question) -> tuple[Case, ...]:
    if question.save_inputs is not None:
        saved.save(question.save_inputs, cases)
    return cases


def _answered(
    pair: tuple[Subject, Subject], cases: tuple[Case, ...], question: Question
) -> Verdict:
    tolerance = Tolerance(question.rtol, question.atol)
    told = question.progress or (lambda done, of, what: None)
    with Runtime(question.provider, timeout_s=question.timeout_s) as runtime:
        all_cases = (*cases, *overridden(*pair, cases[0], question.seed))
        verdict = Trial(pair, all_cases, runtime, tolerance, question.seed, told).verdict()
        if question.inputs is None and (taken := _taken(pair[0], cases, question)):
            verdict = replace(verdict, notes=(*verdict.notes, f"open sizes were taken as {taken}"))
        numbers = None
        if question.metric is not None:
            numbers = measured(question.metric, runtime, pair)
    walked: tuple[Layer, ...] = ()
    if question.layers:
        walked = layer_walk.layers(*pair, layer_walk.telling(cases), question.seed)
    return replace(verdict, metric=numbers, layers=walked)


@contextmanager
def subjects(a: Model, b: Model, folder: Path) -> Iterator[tuple[Subject, Subject]]:
    """Both models, with labels that differ, their files open inside the block.

    Raises:
        UsageError: there is no such file.
        ModelError: not a sound ONNX model.
        CheckFailed: the signatures differ, or what callers may feed is gone.
    """
    with subject(a, "original", folder) as first, subject(b, "candidate", folder) as second:
        if first.label == second.label:  # sessions and reports are told apart by it
            first = replace(first, label=f"{first.label} (original)")
            second = replace(second, label=f"{second.label} (candidate)")
        check_signatures(first, second)
        check_overrides(first, second)
        yield first, second


def _batches(batches: Sequence[int]) -> tuple[int, ...]:
    found = tuple(dict.fromkeys(int(batch) for batch in batches))
    if not found or min(found) < 1:
        raise UsageError(f"batch sizes {list(batches)} cannot be", hint="--batch 1,3")
    return found
