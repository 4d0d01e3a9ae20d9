"""How large the experiment of section 4.1 is: as in the paper, or so small that CI runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

# (up to this step, measured every so many steps): dense where accuracy rises
MEASURED = ((100, 10), (1_000, 50), (5_000, 100), (10_000, 250), (10**9, 500))


@dataclass(frozen=True, slots=True)
class Scale:
    """Steps of a full and of a grid run, images a step, the rates of the grid, and the inits.

    `inits` are standard deviations of the initial weights: the first is that of the figure, the
    others are tried on one seed, to show what hangs on them (the paper gives neither).
    """

    steps: int
    grid_steps: int
    batch: int
    rates: tuple[float, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    inits: tuple[float, ...] = (0.1, 0.01)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {key: _listed(value) for key, value in asdict(self).items()}


FULL = Scale(50_000, 10_000, 60, (0.1, 0.3, 1.0, 3.0, 10.0))
SMOKE = Scale(120, 40, 60, (0.1, 1.0))


def dense(step: int) -> bool:
    """Is a full run measured after this step?"""
    every = next(period for last, period in MEASURED if step <= last)
    return step % every == 0


def grid_points(step: int) -> bool:
    """Is a run of the grid measured after this step?"""
    return step % 500 == 0


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else value
