"""Golden inputs and answers: float64 truth rounded to the model's type, and how far one may be off.

The bound is verification's: RUNTIME_LIMIT times the rms error that the reference model itself has
in ONNX Runtime, over its loudest input, with optimisation off or at the default level, whichever
errs more: the check runs at the default one, whose fused kernels may round otherwise. For a model
in half precision or int8 the reference is that model itself, and the bound is never below what
narrowing did: where another machine's roundings fall the other way, they do no more than those
here did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from bnfold.deployment.order import Order
from bnfold.errors import CheckFailed, DataError, ModelError
from bnfold.ops64 import EvaluationError, Evaluator, Unsupported
from bnfold.show import show
from bnfold.verification.cases import Array, Case, Misfit
from bnfold.verification.gates import FLOOR_ULPS, RUNTIME_LIMIT
from bnfold.verification.judge import Question, fitting
from bnfold.verification.measures import UNIT, numeric, rms, scale_of
from bnfold.verification.runtime import Runtime
from bnfold.verification.subject import Subject
from bnfold.verification.tolerance import STATED_UNITS

LEAST_DIFFERING = 1e-3  # of an integer output: what verification grants where nothing flips
FILE = "golden.npz"


@dataclass(frozen=True, slots=True)
class Answer:
    """One case: what is fed, what must come out; `bounds`: rms, or the share that may differ."""

    case: Case
    batch: int
    outputs: Mapping[str, Array]
    bounds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Run:
    """One case in float64 and in the runtime; `narrowing`: the float model's truth, if another."""

    exact: Mapping[str, Array]
    ran: Mapping[str, Array]
    optimised: Mapping[str, Array]
    narrowing: Mapping[str, Array] | None


def is_half(model: Subject) -> bool:
    """Whether some weights have 16 bits: their rounding is no fault of a run."""
    kinds = {tensor.data_type for tensor in model.model.graph.initializer}
    return bool(kinds & {10, 16})  # TensorProto.FLOAT16, BFLOAT16


def inputs(original: Subject, order: Order, runtime: Runtime) -> tuple[Case, ...]:
    """Golden inputs that the original runs on: open sizes are tried as `verify` tries them.

    Raises:
        UsageError: it runs on none.
    """
    question = Question(
        batches=order.batches,
        shapes=order.shapes,
        seed=order.seed,
        timeout_s=order.timeout_s,
    )
    key = runtime.load(original, "none")

    def ran(cases: tuple[Case, ...]) -> tuple[Case, ...]:
        try:
            for case in cases:
                runtime.run(key, case.feeds)
        except DataError as cause:
            raise Misfit(cause.message, where=cause.where, hint=cause.hint) from cause
        return cases

    found = fitting(original, question, ran)
    runtime.drop(key)
    return found


def answers(
    reference: Subject, cases: Sequence[Case], runtime: Runtime, wide: Subject | None = None
) -> tuple[Answer, ...]:
    """The answers of `reference` to `cases`; `wide` is the float model that it was narrowed from.

    Raises:
        CheckFailed: an output is not finite, or has another shape in float64.
        DataError: the model does not run on a case.
    """
    runs = _runs(reference, cases, runtime, wide)
    bounds = {port.name: _bounds(port.name, port.elem_type, runs) for port in reference.outputs}
    found = []
    for k, (case, run) in enumerate(zip(cases, runs, strict=True)):
        outputs = {name: _rounded(name, run.exact[name], run.ran[name]) for name in bounds}
        batch = next((v.shape[0] for v in case.feeds.values() if v.ndim), 1)
        found.append(Answer(case, batch, outputs, {name: bounds[name][k] for name in bounds}))
    return tuple(found)


def _runs(
    reference: Subject, cases: Sequence[Case], runtime: Runtime, wide: Subject | None
) -> list[_Run]:
    names = [port.name for port in reference.outputs]
    truth = Evaluator(reference.model, read=reference.data.array)
    wide_truth = Evaluator(wide.model, read=wide.data.array) if wide else None
    keys = _loaded(reference, runtime, optional=wide is not None)
    # session by session, for large ones take turns
    ran_with = [[runtime.run(key, case.feeds) for case in cases] for key in keys]
    runs = []
    for k, case in enumerate(cases):
        ran, optimised = (row[k] for row in ran_with) if ran_with else (None, None)
        exact = _exact(truth, case, reference.label) or ran
        if exact is None:
            raise CheckFailed("nothing here computes golden answers", where=reference.label)
        other = None if wide_truth is None else _exact(wide_truth, case, reference.label)
        if ran is None:  # a type that only the target runs: its truth in the float model's type
            ran = {name: exact[name].astype(np.float32) for name in names}
        runs.append(_Run(exact, ran, optimised or ran, other))
    for key in keys:
        runtime.drop(key)
    return runs


def _loaded(subject: Subject, runtime: Runtime, *, optional: bool) -> tuple[str, ...]:
    """Sessions with optimisation off and at the default level; none where it does not load."""
    try:
        return runtime.load(subject, "none"), runtime.load(subject, "all")
    except ModelError:
        if not optional:
            raise
        return ()


def _exact(evaluator: Evaluator, case: Case, label: str) -> dict[str, Array] | None:
    """The outputs in float64; None where nothing computes an operator."""
    try:
        return evaluator.run(case.feeds)
    except Unsupported:
        return None
    except EvaluationError as cause:
        message = f"the graph does not run on '{show(case.name)}': {show(cause, 300)}"
        raise DataError(message, where=label) from cause


def _bounds(name: str, elem_type: int, runs: Sequence[_Run]) -> list[float]:
    """For each case what this output's error may be."""
    unit = UNIT.get(elem_type)
    if unit is None:
        own = max(_differing(got[name], run.exact[name]) for run in runs for got in _both(run))
        return [max(RUNTIME_LIMIT * own, LEAST_DIFFERING)] * len(runs)
    loudest = max(rms(run.exact[name]) for run in runs)
    scales = [scale_of(rms(run.exact[name]), loudest) for run in runs]
    own = max(_error(run, name) / scale for run, scale in zip(runs, scales, strict=True))
    if all(run.exact is run.ran for run in runs):  # no truth: the tolerance stated for that case
        own = STATED_UNITS / RUNTIME_LIMIT * unit
    narrowing = max(_narrowing(run, name) / s for run, s in zip(runs, scales, strict=True))
    relative = max(RUNTIME_LIMIT * max(own, FLOOR_ULPS * unit), narrowing)
    return [relative * scale for scale in scales]


def _error(run: _Run, name: str) -> float:
    exact = run.exact[name]
    if any(got[name].shape != exact.shape for got in _both(run)):
        return math.inf
    return max(rms(numeric(got[name]) - numeric(exact)) for got in _both(run))


def _both(run: _Run) -> tuple[Mapping[str, Array], ...]:
    return run.ran, run.optimised


def _narrowing(run: _Run, name: str) -> float:
    if run.narrowing is None or run.narrowing[name].shape != run.exact[name].shape:
        return 0.0
    return rms(numeric(run.exact[name]) - numeric(run.narrowing[name]))


def _differing(got: Array, exact: Array) -> float:
    if got.shape != exact.shape:
        return math.inf
    return float(np.mean(got != exact)) if got.size else 0.0


def _rounded(name: str, exact: Array, ran: Array) -> Array:
    if exact.shape != ran.shape:
        raise CheckFailed(
            f"output '{show(name)}' has shape {exact.shape} in float64 and {ran.shape} in ONNX"
            " Runtime: no golden answer can be told"
        )
    with np.errstate(over="ignore"):
        value = exact.astype(str if ran.dtype.kind in "OU" else ran.dtype)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise CheckFailed(f"output '{show(name)}' is not finite on the golden inputs")
    return value


def write(found: Sequence[Answer], folder: Path, beside_model: Path) -> dict[str, Any]:
    """Write `golden.npz` and a `test_data_set_K` a case; answers the manifest's part."""
    arrays: dict[str, Array] = {}
    entries = []
    for k, answer in enumerate(found):
        _write_test_set(answer, beside_model / f"test_data_set_{k}")
        entries.append(_entry(k, answer, arrays))
    np.savez(folder / FILE, **arrays)  # type: ignore[arg-type]
    return {"file": FILE, "limit": RUNTIME_LIMIT, "cases": entries}


def _entry(k: int, answer: Answer, arrays: dict[str, Array]) -> dict[str, Any]:
    inputs, outputs = [], []
    for i, (name, value) in enumerate(answer.case.feeds.items()):
        key = f"case{k}_input{i}"
        arrays[key] = value.astype(str) if value.dtype.kind == "O" else value
        inputs.append({"name": name, "key": key})
    for i, (name, value) in enumerate(answer.outputs.items()):
        key = f"case{k}_output{i}"
        arrays[key] = value
        kind = "rms" if value.dtype.kind == "f" else "differing"
        outputs.append({"name": name, "key": key, kind: answer.bounds[name]})
    return {
        "name": answer.case.name,
        "batch": answer.batch,
        "test_data": f"test_data_set_{k}",
        "inputs": inputs,
        "outputs": outputs,
    }


def _write_test_set(answer: Answer, folder: Path) -> None:
    folder.mkdir()
    for kind, values in (("input", answer.case.feeds), ("output", answer.outputs)):
        for i, (name, value) in enumerate(values.items()):
            strings = value.dtype.kind in "OU"
            tensor = numpy_helper.from_array(value.astype(object) if strings else value, name)
            data = tensor.SerializeToString(deterministic=True)
            (folder / f"{kind}_{i}.pb").write_bytes(data)
