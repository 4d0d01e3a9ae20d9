"""How often several nets are wrong: one by one, and with the mean of their probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnfold.reproduction.nets import Votes
from bnfold.training import Crops
from bnfold.training.voting import judged

SUBSETS = 64  # of one size at most, in order; six nets have 20 of three
# section 4.2.3: top-1 and top-5 error of one net and of six, on one crop and on 144
PAPER = {(1, True): (0.252, 0.0782), (1, False): (0.2199, 0.0582), (6, False): (0.201, 0.049)}


@dataclass(frozen=True, slots=True)
class Row:
    """Errors of one net (the mean over nets, `low` to `high`) or of all together.

    `gain`: how much lower than one net's on one crop, on the same images, and its standard error.
    """

    crops: Crops
    models: int
    top1: float
    top5: float | None
    low: float
    high: float
    gain: float
    gain_error: float
    paper: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def rows(told: Mapping[Crops, Sequence[Votes]], labels: NDArray[np.int64]) -> tuple[Row, ...]:
    """One net, and all together if there are several, on one crop and on several."""
    alone = {crops: np.stack([_right(v, labels) for v in own]) for crops, own in told.items()}
    base = alone[Crops.SINGLE].mean(0)
    found = []
    for crops, own in told.items():
        tops = [_top5(v, labels) for v in own]
        top5 = None if None in tops else float(np.mean([t for t in tops if t is not None]))
        found.append(_row(crops, 1, alone[crops], base, top5))
    for crops, own in told.items() if len(alone[Crops.SINGLE]) > 1 else ():
        mean = mean_of(own)
        found.append(_row(crops, len(own), _right(mean, labels)[None], base, _top5(mean, labels)))
    return tuple(found)


def mean_of(own: Sequence[Votes]) -> NDArray[np.float64]:
    """The arithmetic mean of class probabilities."""
    total = np.zeros(own[0].shape)
    for each in own:
        total += each
    return total / len(own)


def by_size(own: Sequence[Votes], labels: NDArray[np.int64]) -> tuple[float, ...]:
    """Top-1 error of ensembles of 1, 2, ... nets: the mean over the choices of so many."""
    errors = []
    for size in range(1, len(own) + 1):
        chosen = itertools.islice(itertools.combinations(own, size), SUBSETS)
        errors.append(float(np.mean([1 - _right(mean_of(c), labels).mean() for c in chosen])))
    return tuple(errors)


def _row(
    crops: Crops, models: int, right: NDArray[np.float64], base: NDArray[np.float64],
    top5: float | None,
) -> Row:  # fmt: skip
    """`right` (nets, images) is 1 where a net is; `base` (images,) is the share of nets."""
    errors = 1 - right.mean(1)
    gain = right.mean(0) - base
    return Row(
        crops, models, float(errors.mean()), top5, float(errors.min()), float(errors.max()),
        float(gain.mean()), float(gain.std() / np.sqrt(len(gain))),
        PAPER.get((models, crops is Crops.SINGLE)),
    )  # fmt: skip


def _right(mean: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(mean.argmax(1) == labels, np.float64)


def _top5(mean: NDArray[Any], labels: NDArray[np.int64]) -> float | None:
    pair = torch.from_numpy(np.array(mean)), torch.from_numpy(labels)
    top5 = judged([pair], "").top5
    return None if top5 is None else 1 - top5
