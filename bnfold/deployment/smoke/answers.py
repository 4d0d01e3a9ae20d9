"""Golden inputs and answers: how far a run may be off."""

from __future__ import annotations

import math
from typing import Any

from bnfold.deployment.smoke.words import Finding


class Case:
    """One golden case: what is fed, what must come out, and how far it may be off."""

    def __init__(self, arrays: Any, entry: dict[str, Any]) -> None:
        self.name, self.batch = str(entry["name"]), int(entry["batch"])
        self._arrays, self._entry = arrays, entry
        missing = {one["key"] for one in entry["inputs"] + entry["outputs"]} - set(arrays.files)
        if missing:
            raise KeyError(f"no array {sorted(missing)[0]}")

    def feeds(self) -> dict[str, Any]:
        """The inputs by name; read from the file anew each time, so that few lie in memory."""
        return {one["name"]: self._arrays[one["key"]] for one in self._entry["inputs"]}

    def judged(self, got: dict[str, Any]) -> Finding:
        """The output that uses up most of its bound decides."""
        question, worst, where = f"golden {self.name}", 0.0, ""
        for one in self._entry["outputs"]:
            if one["name"] not in got:
                sentence = f"the model has no output {one['name']}"
                return Finding(question, ok=False, sentence=sentence, where=one["name"])
            share = _share(got[one["name"]], self._arrays[one["key"]], one)
            if not share <= worst:  # so written that NaN counts
                worst, where = share, one["name"]
        sentence = f"golden case {self.name}: {worst:.2g} of the tolerance"
        if not worst <= 1.0:
            sentence += f" at output '{where}'"
        return Finding(question, ok=worst <= 1.0, sentence=sentence, where=where)


def _share(got: Any, golden: Any, entry: dict[str, Any]) -> float:
    """How much of the bound is used: the rms of the difference, or the elements that differ."""
    import numpy as np

    got = np.asarray(got)
    if got.shape != golden.shape:
        return math.inf
    if golden.dtype.kind != "f":
        differing = float(np.mean(got.astype(golden.dtype) != golden)) if got.size else 0.0
        return differing / float(entry["differing"])
    difference = got.astype(np.float64) - golden.astype(np.float64)
    rms = float(np.sqrt(np.mean(np.square(difference)))) if difference.size else 0.0
    return rms / float(entry["rms"]) if math.isfinite(rms) else math.inf
