"""`bnfold bench`: latency in ONNX Runtime, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import bnfold
from bnfold_cli.options import (
    Shapes,
    json_option,
    provider_option,
    read_batches,
    seed_option,
    shape_option,
    timeout_option,
)
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import BenchReport


@click.command(short_help="Time models side by side")
@click.argument("models", nargs=-1, required=True, metavar="A.onnx [B.onnx ...]")
@click.option(
    "--batch",
    "batches",
    callback=read_batches,
    default="1",
    show_default=True,
    metavar="N[,N]",
    help="Batch sizes.",
)
@shape_option
@provider_option
@click.option(
    "--optimization",
    type=click.Choice(["none", "basic", "extended", "all"]),
    default="all",
    show_default=True,
    help="ONNX Runtime's graph optimisation.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="A few seconds: indicative only.")
@seed_option
@timeout_option
@json_option
def command(
    models: tuple[str, ...],
    batches: tuple[int, ...],
    shapes: Shapes,
    provider: str,
    optimization: str,
    threads: int,
    quick: bool,
    seed: int,
    timeout_s: float,
) -> None:
    """Time models side by side; the first is what the others are compared with.

    Example: bnfold bench resnet50.onnx resnet50.folded.onnx --batch 1,32
    """
    report = bnfold.bench(
        models,
        batches=batches,
        shapes=shapes,
        provider=provider,
        optimization=optimization,
        threads=threads,
        quick=quick,
        seed=seed,
        timeout_s=timeout_s,
    )
    current().answer(report.to_dict(), lambda console: page(console, report))


def page(console: Console, report: BenchReport) -> None:
    """The table of rows, then a sentence for each comparison."""
    from bnfold_cli.tables import table, text

    rows = [
        (
            row.label,
            row.batch,
            f"{row.median_ms:.3f}",
            "" if row.p90_ms is None else f"{row.p90_ms:.3f}",
            f"{row.throughput:.0f}",
            row.batchnorms,
            row.runs,
        )
        for row in report.rows
    ]
    headers = ("model", ">batch", ">median ms", ">p90 ms", ">items/s", ">BatchNorms", ">runs")
    console.print(table(headers, rows))
    console.print()
    for one in report.comparisons:
        console.print(
            text(f"batch {one.batch}, {one.other} against {one.base}: {one.sentence}", longest=400)
        )
    machine = f"{report.provider}, {report.threads} thread(s), optimisation {report.optimization}"
    console.print(text(machine))
