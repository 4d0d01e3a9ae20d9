"""A split whose images lie encoded on a disk, and are decoded when they are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnfold.training.dataset import Seeds
from bnfold.training.decoding import Box, Stored, decoded, resized, upright

CPU = torch.device("cpu")
THREADS = 8  # pillow decodes outside of the interpreter's lock


@dataclass(frozen=True, slots=True)
class EncodedSplit:
    """Files and labels; images are decoded when taken, the expected ones in the background."""

    files: Stored
    labels: Tensor
    size: int
    device: torch.device = CPU
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    _waiting: dict[tuple[int, int | None], Future[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    @property
    def crops(self) -> bool:
        """Yes: where there are seeds."""
        return True

    @property
    def shards(self) -> tuple[int, ...]:
        """Those of the files."""
        return self.files.shards

    def take(self, chosen: Tensor, seeds: Seeds = None) -> tuple[Tensor, Tensor]:
        """Decoded images and their labels.

        Raises:
            DataError: naming the file that is no readable image.
        """
        self.expect(chosen, seeds)
        keys = list(self._keys(chosen, seeds))
        found = {key: self._waiting.pop(key).result() for key in dict.fromkeys(keys)}
        images = torch.from_numpy(np.stack([found[key] for key in keys])).to(self.device)
        return images, self.labels[chosen.to(self.labels.device)]

    def expect(self, chosen: Tensor, seeds: Seeds = None) -> None:
        """Begin to decode what is not being decoded yet."""
        for index, seed in self._keys(chosen, seeds):
            if (index, seed) not in self._waiting:
                self._waiting[index, seed] = self._pool.submit(
                    decoded, self.files, index, self.size, seed
                )

    def cut(self, index: int, boxes: Callable[[tuple[int, int]], Iterable[Box]]) -> Tensor:
        """(boxes, 3, size, size) uint8: the boxes of an image, which depend on its sizes.

        Raises:
            DataError: naming the file that is no readable image.
        """
        image = upright(self.files, index, self.size)
        parts = self._pool.map(partial(resized, image, self.size), boxes(image.size))
        return torch.from_numpy(np.stack(list(parts))).to(self.device)

    def to(self, device: torch.device) -> EncodedSplit:
        """The same, answering on a device; files stay where they are."""
        return replace(self, labels=self.labels.to(device), device=device, _waiting={})

    def _keys(self, chosen: Tensor, seeds: Seeds) -> Iterator[tuple[int, int | None]]:
        for place, index in enumerate(chosen.tolist()):
            yield int(index), None if seeds is None else seeds[place]
