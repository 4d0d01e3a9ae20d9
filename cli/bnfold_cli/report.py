"""A FoldReport as a page: what folded, what stays and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnfold_cli.tables import table, text

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Fold, FoldReport, Remaining


def print_remaining(console: Console, report: FoldReport, kinds: tuple[str, ...]) -> None:
    """One line for each map that stays."""
    stays = [one for one in report.remaining if one.kind in kinds]
    if stays:
        console.print()
        console.print(table(("stays", "code", "why", "what helps"), map(_remaining, stays)))


def print_folded(console: Console, report: FoldReport, kinds: tuple[str, ...]) -> None:
    """One line for each map that folds."""
    folds = [one for one in report.folded if one.kind in kinds]
    if folds:
        console.print()
        console.print(table(("folds", "how", "into", "through"), map(_folded, folds)))


def _remaining(one: Remaining) -> tuple[object, ...]:
    why = f"{one.sentence}: {one.blocker}" if one.blocker else one.sentence
    return (one.map, text(one.code, "yellow"), text(why, longest=300), one.unblock)


def _folded(one: Fold) -> tuple[object, ...]:
    return (one.map, text(one.outcome, "green"), ", ".join(one.absorbed_by), len(one.through) or "")
