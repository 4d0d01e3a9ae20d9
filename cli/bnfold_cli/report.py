"""A FoldReport as a page: what folded, what stays and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnfold.show import show
from bnfold_cli.headline import COSTS, savings
from bnfold_cli.tables import table, text

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Fold, FoldReport, Remaining
    from bnfold.folding.report import Merge
    from bnfold.onnxfile import Makeup


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


def print_merges(console: Console, report: FoldReport) -> None:
    """What became one operator and what it saves; what meets but stays apart, and why."""
    if report.merged:
        heads = ("merges into", "parts", ">launches", ">multiply-adds", ">bytes")
        console.print()
        console.print(savings(report))
        console.print(table(heads, map(_merge, report.merged)))
    if report.apart:
        console.print()
        rows = ((a.at, text(a.code, "yellow"), a.sentence) for a in report.apart)
        console.print(table(("stays apart at", "code", "why"), rows))


def _merge(one: Merge) -> tuple[object, ...]:
    changes = (f"{getattr(one.before, c)} -> {getattr(one.after, c)}" for c in COSTS)
    return (one.into, text(", ".join(one.parts), longest=300), *changes)


def _remaining(one: Remaining) -> tuple[object, ...]:
    why = f"{one.sentence}: {one.blocker}" if one.blocker else one.sentence
    return (one.map, text(one.code, "yellow"), text(why, longest=300), one.unblock)


def _folded(one: Fold) -> tuple[object, ...]:
    return (one.map, text(one.outcome, "green"), ", ".join(one.absorbed_by), len(one.through) or "")


def print_makeup(console: Console, makeup: Makeup) -> None:
    """Who wrote the model, its number types, why its BatchNorms stay, and earlier folds."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in makeup.opsets.items())
    console.print(f"by {show(makeup.producer) or 'an unnamed producer'}; opsets {show(opsets)}")
    types = (f"{one.type} {one.share:.1%} ({one.tensors})" for one in makeup.types)
    console.print(f"bytes by number type (tensors): {', '.join(types) or 'no constants'}")
    for trace in makeup.folded_before:
        console.print(f"before: {show(trace)}")
