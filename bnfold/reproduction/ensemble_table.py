"""Figure 4 as Markdown, beside the paper's: errors, their gains, each net, and the road's end."""

from __future__ import annotations

from collections.abc import Sequence

from bnfold.reproduction.ensemble import Figure4
from bnfold.reproduction.table import table
from bnfold.reproduction.tally import Row
from bnfold.training import Crops


def markdown(found: Figure4) -> str:
    """The rows of the figure, ensembles by size, the nets one by one, and the one graph."""
    study = found.study
    width = f"width {study.width:g}" if study.width else "at ImageNet's size"
    parts = [
        f"`{found.data}`: {found.images[0]:,} training and {found.images[1]:,} held-out images of "
        f"{'x'.join(map(str, found.shape))}; BN-Inceptions {width}, rate "
        f"{found.nets[0].net.lr:g} (x30), batch {study.batch}"
        + (f", {study.steps:,} steps." if study.steps else "."),
        "## Figure 4",
        "Errors on the held-out images; of one net the mean over nets (smallest - largest). Gain: "
        "how many points lower than one net on one crop, on the same images, with its standard "
        "error over images. The paper's on ImageNet, top-1 / top-5.",
        _rows(found.rows),
        "## By the number of nets",
        "Top-1 error, the mean over the choices of so many of these nets.",
        _sizes(found),
        "## The nets",
        _nets(found),
    ]
    if found.arrival is not None:
        parts += ["## One graph", _road(found)]
    return "\n\n".join(parts) + "\n"


def _rows(rows: Sequence[Row]) -> str:
    head = ["crops", "nets", "top-1 error", "top-5 error", "gain", "paper"]
    return table(head, [_row(row) for row in rows])


def _row(row: Row) -> list[str]:
    spread = f" ({row.low:.2%} - {row.high:.2%})" if row.low < row.high else ""
    gain = f"{100 * row.gain:.2f} ± {100 * row.gain_error:.2f}"
    first = row.crops is Crops.SINGLE and row.models == 1
    return [
        _named(row.crops), str(row.models), f"{row.top1:.2%}{spread}",
        "" if row.top5 is None else f"{row.top5:.2%}", "" if first else gain,
        " / ".join(f"{100 * error:g} %" for error in row.paper or ()),
    ]  # fmt: skip


def _named(crops: Crops) -> str:
    return f"{crops.number} ({crops})"


def _sizes(found: Figure4) -> str:
    count = len(found.voting)
    head = ["crops", *(f"{size} net{'s' if size > 1 else ''}" for size in range(1, count + 1))]
    lines = [[_named(c), *(f"{e:.2%}" for e in own)] for c, own in found.sizes.items()]
    return table(head, lines)


def _nets(found: Figure4) -> str:
    kinds = list(found.alone)
    errors = iter(zip(*(found.alone[c] for c in kinds), strict=True))
    lines = []
    for trained in found.nets:
        net = trained.net
        own = [trained.stopped, ""] if trained.stopped else [f"{e:.2%}" for e in next(errors)]
        lines.append([net.changes, str(net.seed), *own])
    return table(["changes", "seed", *(f"error on {_named(c)}" for c in kinds)], lines)


def _road(found: Figure4) -> str:
    end = found.arrival
    assert end is not None
    left = ", ".join(f"{count} `{code}`" for code, count in end.staying)
    stays = f" Of the BatchNorms there stay {left}: those of each activation by itself." if (
        left
    ) else ""  # fmt: skip
    lines = [
        ["BatchNorms", *map(str, end.batchnorms)],
        ["nodes", *map(str, end.nodes)],
        *([f"ms at batch {batch}", f"{x:.3f}", f"{y:.3f}"] for batch, x, y in end.latency),
    ]
    text = (
        f"The {len(found.voting)} nets, each with its softmax, and the mean of what they say, "
        f"exported as one model, folded, verified and timed: {end.verdict}.{stays} Latencies by "
        "ONNX Runtime at its default, which folds too; from a machine with other work on it, so "
        "only their ratio tells."
    )
    return "\n\n".join(
        [text, table(["", "exported", "folded"], lines), *(f"- {v}" for v in end.verdicts)]
    )
