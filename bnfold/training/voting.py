"""Class probabilities of images, each the mean over its views, and how often they are right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from bnfold.training.crops import Crops, views
from bnfold.training.dataset import Dataset, Images

Predict = Callable[[Tensor], Tensor]  # inputs (n, C, H, W) -> scores (n, classes)
TOP = 5
SUM_TO_ONE = 1e-3  # float16 rounds each of a row's parts by 2^-11 at most, so their sum too


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The share of `count` held-out images that are classified rightly.

    `top5`: whose class is among the five likeliest; None where there are no more than five.
    """

    accuracy: float
    count: int
    data: str
    top5: float | None = None
    crops: Crops = Crops.SINGLE

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def votes(
    predict: Predict, data: Dataset, images: Images, *, crops: Crops = Crops.SINGLE, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean probabilities (n, classes) in float64 and labels (n,), in the split's order.

    `predict` gets at most `batch` views at once and answers with scores or with probabilities.

    Raises:
        UsageError: the crops cannot be cut from these images.
        DataError: an image cannot be read.
    """
    each = max(1, batch // crops.number)
    for start in range(0, len(images), each):
        chosen = torch.arange(start, min(start + each, len(images))).to(images.labels.device)
        inputs = data.inputs(views(images, chosen, crops).flatten(0, 1))
        scores = torch.cat([predict(part) for part in torch.split(inputs, batch)])
        mean = probabilities(scores).reshape(len(chosen), crops.number, -1).mean(1)
        yield mean, images.labels[chosen]


def probabilities(scores: Tensor) -> Tensor:
    """Softmax of (n, classes) in float64; rows that are probabilities already stay so."""
    wide = scores.double()
    sums = (wide.sum(1) - 1).abs()
    if bool((wide >= 0).all() and (sums <= SUM_TO_ONE).all()):
        return wide
    return wide.softmax(1)


def judged(
    pairs: Iterable[tuple[Tensor, Tensor]], data: str, crops: Crops = Crops.SINGLE
) -> Evaluation:
    """How often the likeliest class, and one of the five likeliest, is the label's."""
    count = first = among = classes = 0
    for mean, labels in pairs:
        count, classes = count + len(labels), mean.shape[1]
        likeliest = mean.topk(min(TOP, classes), dim=1).indices
        first += int((mean.argmax(1) == labels).sum())
        among += int((likeliest == labels[:, None]).sum())
    return Evaluation(first / count, count, data, among / count if classes > TOP else None, crops)
