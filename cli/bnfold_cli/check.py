"""`bnfold check`: the smoke test of a roll-out."""

from __future__ import annotations

from pathlib import Path

import click

import bnfold
from bnfold.errors import CheckFailed, UsageError
from bnfold.show import show
from bnfold_cli.options import json_option
from bnfold_cli.session import current


@click.command(short_help="The smoke test of a roll-out")
@click.argument("folder", metavar="DIR")
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "tensorrt"]),
    help="What ONNX Runtime runs on; by default what it was deployed for.",
)
@click.option("--runs", type=click.IntRange(1), default=30, show_default=True, help="Runs to time.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML there.")
@json_option
def command(folder: str, provider: str | None, runs: int, junit: str | None) -> None:
    """Check a deployed folder: hashes, session, who ran each node, golden answers, latency.

    The same check stands in the folder as check.py, for machines without bnfold.

    Example: bnfold check /srv/models/resnet50
    """
    if junit is not None and _is_deployed(Path(junit), Path(folder)):
        raise UsageError("the output is a file of the deployment", where=show(junit, 300))
    report = bnfold.check(folder, provider=provider, runs=runs)
    if junit is not None:
        bnfold.onnxfile.write_text(junit, bnfold.deployment.junit(report))

    failed = None if report.ok else CheckFailed(report.sentence, where=folder)
    # plain text: rich takes longer to import than the check of a small model takes
    page = "\n".join(show(line, 500) for line in bnfold.deployment.lines(report))
    current().answer(report.to_dict(), page, failed)


def _is_deployed(junit: Path, folder: Path) -> bool:
    """Whether it stands in the folder and is no earlier answer."""
    inside = folder.resolve() in junit.resolve().parents
    return inside and junit.exists() and junit.suffix != ".xml"
