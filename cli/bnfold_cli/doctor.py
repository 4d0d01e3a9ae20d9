"""`bnfold doctor`: what this environment can do, what is missing, how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import bnfold
from bnfold_cli.options import json_option
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import DoctorReport


@click.command(short_help="What this environment can do, and what it lacks")
@json_option
def command() -> None:
    """Versions, providers that really load, GPUs, and what is missing.

    Example: bnfold doctor --json
    """
    from bnfold.errors import EnvironmentLacks

    report = bnfold.doctor()
    failed = None
    if not report.ok:
        failed = EnvironmentLacks(report.problems[0].what, hint=report.problems[0].mend)
    current().answer(report.to_dict(), lambda console: _page(console, report), failed)


def _page(console: Console, report: DoctorReport) -> None:
    from bnfold_cli.tables import table, text

    console.print(text(f"bnfold {report.bnfold}, Python {report.python}, {report.cpus} CPUs"))
    console.print(text(report.platform))
    rows = [
        (package.name, package.version or text("-", "yellow"), package.extra)
        for package in report.packages
    ]
    console.print()
    console.print(table(("package", "version", "extra"), rows))
    console.print()
    providers = [
        (p.name, "loads" if p.loads else text("no", "yellow"), p.detail) for p in report.providers
    ]
    if providers:
        console.print(table(("provider", "", ""), providers))
    for gpu in report.gpus:
        console.print(text(f"GPU: {gpu.name}, {gpu.memory_mib} MiB, driver {gpu.driver or '?'}"))
    if not report.gpus:
        console.print("GPU: none seen")
    for word, style, found in (
        ("broken", "red", report.problems),
        ("missing", "yellow", report.missing),
    ):
        for one in found:
            console.print()
            console.print(text(f"{word}: {one.what}", style, 500))
            console.print(text(f"  {one.mend}", longest=500))
