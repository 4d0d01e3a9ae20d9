"""`bnfold bisect`: which single fold breaks it, or the first tensor that departs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import bnfold
from bnfold.errors import CheckFailed
from bnfold_cli.options import json_option
from bnfold_cli.progress import rounds
from bnfold_cli.session import current
from bnfold_cli.verify import asking

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold.verification import Culprit


@click.command(short_help="Which fold breaks it, or where a candidate departs")
@click.argument("original")
@click.argument("candidate", required=False)
@asking
@json_option
def command(original: str, candidate: str | None, **asked: Any) -> None:
    """Fold ORIGINAL in parts until one fold is left to blame; exit 4 where there is one.

    With CANDIDATE, made by whatever tool: the first tensor that departs from the original's.

    Example: bnfold bisect resnet50.onnx resnet50.folded.onnx
    """
    found = bnfold.verification.bisect(original, candidate, progress=rounds(current()), **asked)
    failed = CheckFailed(found.sentence, where=candidate or original) if found.found else None
    data = {"original": original, "candidate": candidate, **found.to_dict()}
    current().answer(data, lambda console: _page(console, found), failed)


def _page(console: Console, found: Culprit) -> None:
    from bnfold_cli.tables import text

    console.print(text(found.sentence, "red" if found.found else "green", 500))
    if found.tried:
        console.print(f"{found.tried} parts of the fold were judged")
