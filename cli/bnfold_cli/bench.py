"""`bnfold bench`: latency in ONNX Runtime, side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

import bnfold
from bnfold import child
from bnfold.errors import CheckFailed, UsageError
from bnfold_cli.bench_options import Against, options
from bnfold_cli.outputs import spare
from bnfold_cli.session import Session, current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import BenchReport
    from bnfold.latency import Baseline, Regression, Trial


@click.command(short_help="Time models side by side")
@click.argument("models", nargs=-1, metavar="A.onnx [B.onnx ...]")
@options
def command(
    models: tuple[str, ...],
    against: Against,
    self_test: int | None,
    report: str | None,
    **how: Any,
) -> None:
    """Time models side by side; the first is what the others are compared with.

    Example: bnfold bench resnet50.onnx resnet50.folded.onnx --batch 1,32
    """
    if self_test is not None:
        _try(models, self_test, report, against, how)
        return
    if not models:
        raise UsageError("there is no model to time", hint="bnfold bench A.onnx B.onnx")
    if report is not None:
        spare([report], filter(None, [against.baseline]), models)
    then = _baseline(against, how)
    if how["provider"] == "cpu":
        child.limit_memory()
    found = bnfold.bench(models, **how)
    if report is not None:
        bnfold.onnxfile.write_text(report, bnfold.latency.html(found))
    change = None
    if then is not None:
        change = bnfold.latency.compare(
            found, then, max_regress=against.max_regress, force=against.force
        )
    failed = None if change is None or change.ok else CheckFailed(change.sentence)
    data = {**found.to_dict(), **({"regression": change.to_dict()} if change else {})}
    current().answer(data, lambda console: page(console, found, change), failed)


def _baseline(against: Against, how: dict[str, Any]) -> Baseline | None:
    """Read and refused before anything is timed."""
    if against.baseline is None:
        return None
    then = bnfold.latency.read_baseline(against.baseline)
    if not against.force:
        then.refuse_unlike(**{k: how[k] for k in ("provider", "optimization", "threads")})
    return then


def page(console: Console, report: BenchReport, change: Regression | None = None) -> None:
    """Times, then what a file is and costs at first; then a sentence for each finding."""
    from bnfold_cli.tables import table, text

    latency = bnfold.latency
    for cut in (latency.TIMES, latency.FACTS):
        shown = [c for c in cut if c.name == "case" or any(c.cell(r) != "-" for r in report.rows)]
        headers = [c.name if c.name in ("model", "case") else f">{c.name}" for c in shown]
        console.print(table(headers, [[c.cell(row) for c in shown] for row in report.rows]))
        console.print()
    for said in latency.findings(report):
        console.print(text(said, longest=500))
    for one in change.changes if change else ():
        console.print(text(one.sentence, "" if not one.regressed else "red", 500))
    console.print()
    for said in latency.conditions(report):
        console.print(text(said, longest=500))


def _try(
    models: tuple[str, ...], n: int, report: str | None, against: Against, how: dict[str, Any]
) -> None:
    """The self-test takes none of what belongs to a model."""
    if models or report is not None or against.baseline is not None:
        raise UsageError(
            "--self-test takes no model, no --report and no --baseline",
            hint="bnfold bench --self-test 20",
        )
    if how["provider"] != "cpu":
        raise UsageError("--self-test runs on the CPU", hint="leave --provider out")
    wanted = {key: how[key] for key in ("threads", "seed", "quick")}
    trial = bnfold.latency.self_test(n, on_pair=_progress(current(), 2 * n), **wanted)
    current().answer(trial.to_dict(), lambda console: _trial_page(console, trial))


def _progress(session: Session, pairs: int) -> Callable[[int], None] | None:
    if not session.progress:
        return None

    def draw(number: int) -> None:
        end = "\n" if number + 1 == pairs else "\r"
        print(f"pair {number + 1} of {pairs}", end=end, file=sys.stderr, flush=True)

    return draw


def _trial_page(console: Console, trial: Trial) -> None:
    from bnfold_cli.tables import text

    for name, part in (
        ("quiet", trial.quiet),
        ("under load", trial.under_load),
        ("all", trial.all),
    ):
        console.print(text(f"{name}: {part.sentence}", longest=400))
