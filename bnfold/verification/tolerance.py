"""Elementwise or rms tolerance between two runs: where asked for, or where no truth can be had."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bnfold.show import show
from bnfold.verification.cases import Array
from bnfold.verification.measures import UNIT, numeric, rms
from bnfold.verification.verdict import Gate

# of the output's rms, in units of its type's roundoff: well above four times the largest own
# error that was seen of a network (docs/tolerance.md)
STATED_UNITS = 2048.0
HALF_UNITS = 64.0


@dataclass(slots=True)
class Tolerance:
    """|b - a| <= atol + rtol |a| elementwise; without both, rms(b - a) over rms(a) in u."""

    rtol: float | None = None
    atol: float | None = None
    worst: float = 0.0
    where: str = ""
    units: dict[str, int] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether the caller gave a tolerance of his own."""
        return self.rtol is not None or self.atol is not None

    def add(self, name: str, elem_type: int, a: Array, b: Array) -> None:
        """One output of one input; the worst share of the tolerance is kept."""
        share = self._share(elem_type, a, b)
        if not share <= self.worst:  # so written that NaN counts
            self.worst, self.where = share, name

    def _share(self, elem_type: int, a: Array, b: Array) -> float:
        if a.shape != b.shape:
            return math.inf
        wide_a, wide_b = numeric(a), numeric(b)
        difference = np.abs(wide_b - wide_a)
        if not difference.size or not difference.any():
            return 0.0
        if self.asked:
            allowed = (self.atol or 0.0) + (self.rtol or 0.0) * np.abs(wide_a)
            with np.errstate(all="ignore"):
                return float(np.max(difference / allowed))
        unit = UNIT.get(elem_type)
        if unit is None:
            return math.inf
        stated = HALF_UNITS if unit > UNIT[1] else STATED_UNITS
        return rms(difference) / (stated * unit * (rms(wide_a) or 1.0))

    def gate(self) -> Gate:
        """The gate: at most 1."""
        ok = bool(self.worst <= 1.0)
        if self.asked:
            how = f"rtol {self.rtol or 0:g}, atol {self.atol or 0:g}"
        else:
            how = f"{STATED_UNITS:g} units of rounding of the output's rms"
        where = f", output '{show(self.where)}'" if self.where else ""
        sentence = f"the runs differ by {self.worst:.3g} of the tolerance ({how}{where})"
        return Gate("tolerance", ok, self.worst, 1.0, "tolerance", sentence)
