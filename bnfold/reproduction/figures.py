"""Pictures like the paper's Figure 1, and of the grid."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnfold.extras import require
from bnfold.onnxfile import replacing
from bnfold.reproduction.activations import PERCENTILES
from bnfold.reproduction.piece import Arm, Curve

if TYPE_CHECKING:
    from bnfold.reproduction.mnist import Figure1

COLORS = {Arm.PLAIN: "#b03a2e", Arm.BN: "#1f618d"}
NAMES = {Arm.PLAIN: "without BN", Arm.BN: "with BN"}


def draw(found: Figure1, folder: Path) -> tuple[Path, ...]:
    """`figure1.png` and `grid.png`.

    Raises:
        EnvironmentLacks: matplotlib is not installed.
        DataError: they cannot be written.
    """
    figure = canvas(13, 4)
    axes = figure.subplots(1, 3)
    _accuracy(axes[0], found)
    for panel, arm in ((axes[1], Arm.PLAIN), (axes[2], Arm.BN)):
        _sigmoid(panel, found, arm)
    axes[1].sharey(axes[2])
    grid = canvas(9, 4)
    left, right = grid.subplots(1, 2, sharey=True)
    _grid(left, found.grid, found.scale.inits[0])
    _grid(right, found.other_init, found.scale.inits[-1])
    left.set_ylabel(f"accuracy after {found.scale.grid_steps:,} steps")
    made = ((folder / "figure1.png", figure), (folder / "grid.png", grid))
    for path, picture in made:
        save(picture, path)
    return tuple(path for path, _ in made)


def canvas(width: float, height: float) -> Any:
    """A figure of so many inches.

    Raises:
        EnvironmentLacks: matplotlib is not installed.
    """
    return require("matplotlib.figure", "train").Figure(
        figsize=(width, height), layout="constrained"
    )


def save(figure: Any, path: Path) -> None:
    """Write it as PNG, the same bytes for the same figure.

    Raises:
        DataError: it cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    with replacing(path) as file:
        file.write(buffer.getvalue())


def _accuracy(axes: Any, found: Figure1) -> None:
    """(a): a line a seed, at each arm's own best rate; dotted at the other's."""
    for arm in Arm:
        for lr in dict.fromkeys([found.best[arm], *found.best.values()]):
            own = lr == found.best[arm]
            for index, curve in enumerate(found.runs(arm, lr)):
                axes.plot(
                    curve.steps, curve.accuracy, color=COLORS[arm], lw=1.0 if own else 0.7,
                    ls="-" if own else ":",
                    label=None if index else f"{NAMES[arm]}, rate {lr:g}",
                )  # fmt: skip
    axes.set(xscale="log", ylim=(0.7, 1.0), xlabel="training steps", ylabel="held-out accuracy")
    axes.set_title("(a) accuracy", fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _sigmoid(axes: Any, found: Figure1, arm: Arm) -> None:
    """(b), (c): the percentiles of one sigmoid's input, first seed, own best rate."""
    runs = found.runs(arm, found.best[arm])
    curve = runs[0] if runs else None
    if curve is not None and curve.spread is not None:
        for index, percentile in enumerate(PERCENTILES):
            values = [row[index] for row in curve.spread.percentiles]
            axes.plot(curve.steps, values, color=COLORS[arm], lw=1.2 if percentile == 50 else 0.8)
    panel = "b" if arm is Arm.PLAIN else "c"
    axes.set_title(f"({panel}) input of one sigmoid, {NAMES[arm]}: 15, 50, 85 %", fontsize=10)
    axes.set_xlabel("training steps")
    axes.grid(alpha=0.3)


def _grid(axes: Any, curves: tuple[Curve, ...], init: float) -> None:
    """Each run of the grid as a dot; the line is the mean."""
    for arm in Arm:
        own = [c for c in curves if c.piece.arm is arm and not c.diverged]
        rates = sorted({c.piece.lr for c in own})
        last = [[c.accuracy[-1] for c in own if c.piece.lr == lr] for lr in rates]
        axes.plot(rates, [sum(v) / len(v) for v in last], color=COLORS[arm], label=NAMES[arm])
        for lr, values in zip(rates, last, strict=True):
            axes.plot([lr] * len(values), values, ".", color=COLORS[arm])
    axes.set(xscale="log", xlabel="rate")
    axes.set_title(f"initial weights N(0, {init:g}²)", fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
