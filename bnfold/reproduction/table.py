"""The result of Figure 1 as Markdown: per seed, as it came out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bnfold.reproduction.mnist import LEVELS, Figure1
from bnfold.reproduction.piece import Arm, Curve


def markdown(found: Figure1) -> str:
    """Steps to each level per seed, the grid, and what other initial weights do."""
    scale = found.scale
    parts = [
        f"`{found.data}`: {found.images[0]:,} training and {found.images[1]:,} held-out images, "
        f"binary; batch {scale.batch}; plain SGD, constant rate; seeds "
        f"{', '.join(map(str, scale.seeds))}; initial weights N(0, {scale.inits[0]:g}²).",
        f"## Full runs, {scale.steps:,} steps",
        "The first measured step at which the held-out accuracy reaches a level (`-`: never); best "
        "and last accuracy with moving averages, and at the end with Algorithm 2; the last two "
        "columns are medians over the 100 sigmoids of the last hidden layer.",
        *(_full(found, lr) for lr in dict.fromkeys([*found.best.values()])),
        f"Own best rate: {', '.join(f'{arm} {lr:g}' for arm, lr in found.best.items())}. "
        f"{_lead(found)}",
        f"## The grid, {scale.grid_steps:,} steps",
        "Accuracy on the last sixth of the training images, which these runs do not train on: mean "
        "(smallest - largest) over seeds.",
        _grid(found.grid, scale.rates),
    ]
    for init in scale.inits[1:]:
        curves = [c for c in found.other_init if c.piece.init == init]
        parts += [f"### Initial weights N(0, {init:g}²), one seed", _grid(curves, scale.rates)]
    return "\n\n".join(parts) + "\n"


def _full(found: Figure1, lr: float) -> str:
    head = ["arm", "rate", "seed", *(f"to {level:.0%}" for level in LEVELS), "best", "last",
            "Alg. 2", "widest / narrowest 15-85", "range of the median"]  # fmt: skip
    rows = [_row(curve) for arm in Arm for curve in found.runs(arm, lr)]
    own = [str(arm) for arm in Arm if found.best[arm] == lr]
    return f"### Rate {lr:g} (the best of: {', '.join(own)})\n\n{table(head, rows)}"


def _row(curve: Curve) -> list[str]:
    piece, spread = curve.piece, curve.spread
    accuracy = curve.accuracy or (0.0,)
    end = [f"{max(accuracy):.2%}", f"{accuracy[-1]:.2%}", f"{curve.final:.2%}"]
    if curve.diverged:
        end = [curve.diverged, "", ""]
    reached = [curve.reached(level) for level in LEVELS]
    return [
        piece.arm, f"{piece.lr:g}", str(piece.seed),
        *("-" if step is None else f"{step:,}" for step in reached), *end,
        f"{spread.width_ratio:.2f}" if spread else "", f"{spread.median_range:.2f}" if spread
        else "",
    ]  # fmt: skip


def _lead(found: Figure1) -> str:
    """Who is ahead, level by level, at each arm's own best rate: medians over seeds."""
    told = []
    for level in LEVELS:
        plain, bn = (
            [c.reached(level) for c in found.runs(arm, found.best[arm])]
            for arm in (Arm.PLAIN, Arm.BN)
        )
        reached = [s for s in (*plain, *bn) if s is not None]
        if len(reached) < len(plain) + len(bn):
            told.append(f"{level:.0%}: reached by {_count(plain)} plain and {_count(bn)} BN")
        else:
            ratio = statistics.median(p for p in plain if p) / statistics.median(b for b in bn if b)
            told.append(f"{level:.0%}: plain takes {ratio:.2f} times BN's steps")
    return "; ".join(told) + "."


def _count(steps: Sequence[int | None]) -> str:
    return f"{sum(s is not None for s in steps)} of {len(steps)}"


def _grid(curves: Iterable[Curve], rates: Sequence[float]) -> str:
    curves = list(curves)
    rows = []
    for lr in rates:
        cells = [[c for c in curves if (c.piece.arm, c.piece.lr) == (arm, lr)] for arm in Arm]
        rows.append([f"{lr:g}", *(_cell(own) for own in cells)])
    return table(["rate", *(str(arm) for arm in Arm)], rows)


def _cell(curves: Sequence[Curve]) -> str:
    diverged = [c.diverged for c in curves if c.diverged]
    if diverged:
        return f"{len(diverged)} of {len(curves)} diverged: {diverged[0]}"
    last = [c.accuracy[-1] for c in curves]
    mean = f"{statistics.mean(last):.2%}"
    return mean if len(last) == 1 else f"{mean} ({min(last):.2%} - {max(last):.2%})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a head, in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
