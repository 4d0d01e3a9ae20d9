"""`bench`: models beside each other in ONNX Runtime, with a verdict that a stranger may trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

from bnfold import child
from bnfold.errors import UsageError
from bnfold.latency import case, inputs, runtime, sessions
from bnfold.latency.case import Case, Part
from bnfold.latency.device import device
from bnfold.latency.machine import Machine, machine
from bnfold.latency.report import BenchReport
from bnfold.latency.rounds import FULL, LEAST_ROUNDS, QUICK, Design
from bnfold.latency.subjects import Model, Subject, subjects, without_fusion
from bnfold.leftovers import temporary_folder
from bnfold.version import __version__


def bench(
    models: Sequence[Model],
    *,
    batches: Sequence[int] = (1,),
    shapes: inputs.Shapes | Sequence[inputs.Shapes] = (),
    provider: str = "cpu",
    provider_options: Mapping[str, str] | None = None,
    optimization: str = "all",
    threads: int = 1,
    rounds: int | None = None,
    seed: int = 0,
    quick: bool = False,
    timeout_s: float = child.SECONDS,
) -> BenchReport:
    """Times `models` side by side, the first against each other one (docs/bench.md).

    Paths, bytes or ModelProtos. `shapes` gives sizes by input, or a size by its symbol; a list of
    them makes a table each, as `batches` do. `quick`: half the rounds, indicative. `timeout_s`:
    the most that loading a model and its first two runs may take.

    Raises:
        UsageError: a missing file, a size that must be given, or an unknown option.
        ModelError: a model that is not sound, or that ONNX Runtime cannot load or run.
        EnvironmentLacks: no onnxruntime, or a provider that does not load.
    """
    design = _design(rounds, quick=quick)
    if threads < 1 or not batches or min(batches) < 1:
        raise UsageError("threads and batches start at 1")
    how = _setting(provider, provider_options, optimization, threads)
    here = machine()
    if not how.on_cpu:
        here = replace(here, device=device())
    tables = [
        Case(title, *what, how, design, seed, timeout_s)
        for title, what in _titled(batches, shapes).items()
    ]
    with temporary_folder() as folder:
        rows = _with_ablation(subjects(models, folder), optimization)
        parts = [case.run(rows, table) for table in tables]
    return _report(parts, tables[0], here, quick=quick)


def _design(rounds: int | None, *, quick: bool) -> Design:
    design = QUICK if quick else FULL
    if rounds is not None and rounds < LEAST_ROUNDS:
        raise UsageError(f"rounds start at {LEAST_ROUNDS}")
    return replace(design, rounds=rounds or design.rounds)


def _setting(
    provider: str, options: Mapping[str, str] | None, optimization: str, threads: int
) -> sessions.Setting:
    name = runtime.provider_name(provider)
    runtime.level(optimization)
    return sessions.Setting(
        provider=name,
        provider_options=sessions.provider_options(name, options),
        optimization=optimization,
        threads=threads,
    )


def _titled(
    batches: Sequence[int], shapes: inputs.Shapes | Sequence[inputs.Shapes]
) -> dict[str, tuple[int, inputs.Shapes]]:
    """One a batch and set of shapes; the shapes are in the title only where there are several."""
    sets = [shapes] if isinstance(shapes, Mapping) else list(shapes) or [{}]
    return {
        _title(batch, one if len(sets) > 1 else {}): (batch, one)
        for one, batch in product(sets, batches)
    }


def _title(batch: int, shapes: inputs.Shapes) -> str:
    told = (f"{name} {'x'.join(map(str, dims))}" for name, dims in shapes.items())
    return ", ".join([f"batch {batch}", *told])


def _with_ablation(found: tuple[Subject, ...], optimization: str) -> tuple[Subject, ...]:
    """The first that holds BatchNorms once more, without ONNX Runtime's own fusion of them.

    Where there is nothing to fuse, or nothing that fuses, such a row would say nothing.
    """
    with_norms = [subject for subject in found if subject.batchnorms]
    if optimization == "none" or not with_norms:
        return found
    return (*found, without_fusion(with_norms[0]))


def _report(parts: Sequence[Part], table: Case, here: Machine, *, quick: bool) -> BenchReport:
    first = parts[0].first
    return BenchReport(
        bnfold=__version__,
        machine=here,
        provider=table.how.provider,
        provider_options={k: str(v) for k, v in first.provider_options.items()},
        cudnn=first.cudnn,
        device_after=None if here.device is None else device(),
        optimization=table.how.optimization,
        threads=table.how.threads,
        seed=table.seed,
        quick=quick,
        design=parts[0].design,
        rows=tuple(row for part in parts for row in part.rows),
        controls=tuple(part.control for part in parts),
        comparisons=tuple(c for part in parts for c in part.comparisons),
    )
