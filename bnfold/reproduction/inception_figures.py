"""Pictures like the paper's Figure 2, and of the grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnfold.reproduction.figures import canvas, save
from bnfold.reproduction.variants import ARMS, GRID, Variant

if TYPE_CHECKING:
    from bnfold.reproduction.inception import Figure3

STYLES = {  # color, line
    Variant.INCEPTION: ("#111111", "--"),
    Variant.BN_BASELINE: ("#1f618d", ":"),
    Variant.BN_X5: ("#b03a2e", "-"),
    Variant.BN_X30: ("#1e8449", "-"),
    Variant.BN_X5_SIGMOID: ("#7d3c98", "-"),
    Variant.INCEPTION_X5: ("#111111", "-."),
    Variant.INCEPTION_SIGMOID: ("#999999", "-."),
}


def draw(found: Figure3, folder: Path) -> tuple[Path, ...]:
    """`figure2.png` and `grid.png`.

    Raises:
        EnvironmentLacks: matplotlib is not installed.
        DataError: they cannot be written.
    """
    figure, grid = canvas(9, 5), canvas(6, 4)
    _curves(figure.subplots(), found)
    _grid(grid.subplots(), found)
    made = ((folder / "figure2.png", figure), (folder / "grid.png", grid))
    for path, picture in made:
        save(picture, path)
    return tuple(path for path, _ in made)


def _curves(axes: Any, found: Figure3) -> None:
    """Accuracy against steps, a line a seed; a cross where Inception's best is reached."""
    for variant in ARMS:
        color, line = STYLES[variant]
        for index, curve in enumerate(c for c in found.full if c.piece.variant is variant):
            name = f"{variant}, rate {curve.piece.lr:g}"
            if curve.stopped:
                name += f" (diverged at {curve.diverged})"
            axes.plot(
                curve.steps, curve.accuracy, color=color, ls=line, lw=1.4 if index == 0 else 0.7,
                label=None if index else name,
            )  # fmt: skip
            step = found.steps_to_baseline(curve)
            if step is not None:
                axes.plot([step], [curve.accuracy[curve.steps.index(step)]], "x", color=color)
    axes.set(xlabel="training steps", ylabel="held-out accuracy")
    axes.set_title("x: the best accuracy of Inception on the same seed is reached", fontsize=9)
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)


def _grid(axes: Any, found: Figure3) -> None:
    """Accuracy at the end of short runs; a run that diverged is a cross at zero."""
    for net in GRID:
        color, line = STYLES[net]
        own = [c for c in found.grid if c.piece.variant is net]
        ended = [c for c in own if not c.stopped]
        lost = [c.piece.lr for c in own if c.stopped]
        axes.plot(
            [c.piece.lr for c in ended], [c.accuracy[-1] for c in ended], color=color, ls=line,
            marker=".", label=str(net),
        )  # fmt: skip
        axes.plot(lost, [0.0] * len(lost), "x", color=color)
    axes.set(xscale="log", xlabel="rate", ylabel=f"accuracy after {found.study.grid_steps:,} steps")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
