"""The images of an experiment: a seeded choice of a data set's, reduced in size."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bnfold.errors import DataError
from bnfold.reproduction.study import Study
from bnfold.training import Dataset, load_data
from bnfold.training.dataset import Images, Split

HELD_OUT = 6  # a sixth of the training images judges the grid: 10,000 of MNIST's 60,000
PART = 1000  # images decoded and reduced at a time


def images_of(name: str, study: Study) -> Dataset:
    """The data set, or the part of it that the study takes.

    Raises:
        UsageError: no such data.
        DataError: files are missing or damaged, or there are fewer images than a batch.
    """
    whole = load_data(name, size=study.pixels)
    for split, wanted in ((whole.train, study.images), (whole.test, study.tests)):
        if len(split) < wanted:
            raise DataError(f"{len(split)} images, the study wants {wanted}", where=name)
    count = study.images or len(whole.train)
    if count - count // HELD_OUT < study.batch:  # what a run of the grid trains on
        raise DataError(f"{count} images are too few for batches of {study.batch}", where=name)
    return replace(
        whole,
        train=_chosen(whole.train, study.images, study.pixels),
        test=_chosen(whole.test, study.tests, study.pixels),
    )


def _chosen(images: Images, count: int, pixels: int) -> Images:
    """`count` of them by lot, in memory; all, as they are, for 0."""
    if not count:
        return images
    lot = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]
    parts = [images.take(part) for part in torch.split(lot, PART)]
    return Split(
        torch.cat([_reduced(found, pixels) for found, _ in parts]),
        torch.cat([labels for _, labels in parts]),
    )


def _reduced(images: Tensor, pixels: int) -> Tensor:
    """(n, C, pixels, pixels) uint8: means over areas; smaller ones stay as they are."""
    if min(images.shape[2:]) <= pixels:
        return images
    return interpolate(images.float(), (pixels, pixels), mode="area").round_().to(torch.uint8)


def held_out(data: Dataset) -> Dataset:
    """The last sixth of the training images in the test images' place."""
    cut = len(data.train) - len(data.train) // HELD_OUT
    first, last = torch.arange(len(data.train)).tensor_split((cut,))
    return replace(data, train=Split(*data.train.take(first)), test=Split(*data.train.take(last)))
