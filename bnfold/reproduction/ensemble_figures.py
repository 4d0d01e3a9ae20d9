"""A picture of Figure 4: error against the number of nets, on one crop and on several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bnfold.reproduction.figures import canvas, save
from bnfold.training import Crops

if TYPE_CHECKING:
    from bnfold.reproduction.ensemble import Figure4

COLORS = {Crops.SINGLE: "#1f618d"}
SEVERAL = "#b03a2e"


def draw(found: Figure4, folder: Path) -> Path:
    """`figure4.png`: the mean over choices of so many nets; a dot for each net alone.

    Raises:
        EnvironmentLacks: matplotlib is not installed.
        DataError: it cannot be written.
    """
    figure = canvas(6, 4)
    axes = figure.subplots()
    for crops, errors in found.sizes.items():
        color = COLORS.get(crops, SEVERAL)
        name = f"{crops.number} crop{'s' if crops.number > 1 else ''}"
        sizes = range(1, len(errors) + 1)
        axes.plot(sizes, [100 * e for e in errors], color=color, marker="o", label=name)
        alone = found.alone[crops]
        axes.plot([1] * len(alone), [100 * e for e in alone], ".", color=color, alpha=0.5)
    axes.set(xlabel="nets whose probabilities are averaged", ylabel="top-1 error, %")
    axes.set_xticks(list(range(1, len(found.voting) + 1)))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    path = folder / "figure4.png"
    save(figure, path)
    return path
