"""Figure 3 as Markdown: steps and accuracies beside the paper's, per seed, as they came out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bnfold.reproduction.curve import Accuracy
from bnfold.reproduction.inception import Figure3
from bnfold.reproduction.table import table
from bnfold.reproduction.variants import ARMS, GRID, Variant

BASE_STEPS = 31.0  # millions, of the paper's Inception


def markdown(found: Figure3) -> str:
    """The nets of Figure 3 and the two negatives, the grid, and the road's end."""
    study = found.study
    width = f"width {study.width:g}" if study.width else "at ImageNet's size"
    parts = [
        f"`{found.data}`: {found.images[0]:,} training and {found.images[1]:,} held-out images of "
        f"{'x'.join(map(str, found.shape))}; batch {study.batch}; nets {width}; rate x1 = "
        f"{found.base:g}; held-out accuracy every {study.every:,} steps.",
        "## Figure 3",
        "Steps until the best accuracy of Inception on the same seed (`not reached` is a value, as "
        "is `diverged`), and as a share of the steps that Inception took to it; best and last "
        "accuracy with moving averages, and at the end with Algorithm 2. The paper's: millions of "
        "steps to 72.2 %, its share of Inception's, and the best accuracy, on ImageNet.",
        _nets(found),
        _means(found),
        f"## The grid, {study.grid_steps:,} steps",
        "Accuracy at the end of short runs, seed "
        f"{study.seeds[0]}: Inception, and the same net with BatchNorm and nothing else changed.",
        _grid(found),
    ]
    if found.arrival is not None:
        parts += ["## The whole road", _road(found)]
    return "\n\n".join(parts) + "\n"


def _nets(found: Figure3) -> str:
    head = ["net", "rate", "seed", "steps to Inception's best", "share", "best", "last", "Alg. 2",
            "paper: steps", "share", "best"]  # fmt: skip
    order = list(ARMS)
    curves = sorted(found.full, key=lambda c: (order.index(c.piece.variant), c.piece.seed))
    return table(head, [_row(found, curve) for curve in curves])


def _row(found: Figure3, curve: Accuracy) -> list[str]:
    piece, arm = curve.piece, ARMS[curve.piece.variant]
    told = f"{arm.steps} M" if arm.steps else arm.told or "-"
    share = f"{arm.steps / BASE_STEPS:.2f}" if arm.steps else ""
    return [
        str(piece.variant), f"{piece.lr:g}", str(piece.seed), *_steps(found, curve),
        *_ends(curve), told, share, f"{arm.best:.1%}" if arm.best else "",
    ]  # fmt: skip


def _steps(found: Figure3, curve: Accuracy) -> list[str]:
    plain = found.run(Variant.INCEPTION, curve.piece.seed)
    own = found.steps_to_baseline(curve)
    if curve.diverged is not None:
        return [f"diverged at step {curve.diverged:,}", ""]
    if plain is None or not plain.accuracy:
        return ["no baseline", ""]
    if own is None:
        return ["not reached", ""]
    theirs = plain.reached(plain.best)
    assert theirs is not None
    return [f"{own:,}", f"{own / theirs:.2f}"]


def _ends(curve: Accuracy) -> list[str]:
    if not curve.accuracy:
        return ["", "", ""]
    final = "" if curve.stopped else f"{curve.final:.2%}"
    return [f"{curve.best:.2%}", f"{curve.accuracy[-1]:.2%}", final]


def _means(found: Figure3) -> str:
    """Over seeds, for nets that have several: best accuracies, and medians of the share."""
    told = []
    for variant in ARMS:
        own = [c for c in found.full if c.piece.variant is variant and c.accuracy]
        if len(own) < 2:
            continue
        best = [c.best for c in own]
        steps = [found.steps_to_baseline(c) for c in own]
        reached = [s for s in steps if s is not None]
        median = f", median {statistics.median(reached):,.0f} steps" if reached else ""
        told.append(
            f"- {variant}: best {statistics.mean(best):.2%} ({min(best):.2%} - {max(best):.2%}), "
            f"Inception's best reached on {len(reached)} of {len(own)} seeds{median}"
        )
    return "\n".join(["Over seeds:", "", *told]) if told else "One seed each."


def _grid(found: Figure3) -> str:
    rows = []
    for lr in found.study.rates:
        own = {c.piece.variant: c for c in found.grid if c.piece.lr == lr}
        rows.append([f"{lr:g}", *(_cell(own.get(net)) for net in GRID)])
    return table(["rate", *map(str, GRID)], rows)


def _cell(curve: Accuracy | None) -> str:
    if curve is None:
        return ""
    if curve.stopped:
        return f"diverged at step {curve.diverged:,}" if curve.diverged else curve.stopped
    return f"{curve.accuracy[-1]:.2%}"


def _road(found: Figure3) -> str:
    end = found.arrival
    assert end is not None
    rows: list[Sequence[str]] = [
        ["BatchNorms", *map(str, end.batchnorms)],
        ["nodes", *map(str, end.nodes)],
        *([f"ms at batch {batch}", f"{x:.3f}", f"{y:.3f}"] for batch, x, y in end.latency),
    ]
    text = (
        f"`{end.name}`, the best of the BatchNorm nets on seed {found.study.seeds[0]}, exported, "
        f"folded, verified and timed: {end.verdict}. Latencies by ONNX Runtime at its default, "
        "which folds too; from a machine with other work on it, so only their ratio tells."
    )
    return "\n\n".join(
        [text, table(["", "exported", "folded"], rows), *(f"- {v}" for v in end.verdicts)]
    )
