"""Augmentation on the device, seeded by (seed, step): workers and resuming cannot change it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def shifted(images: Tensor, distance: int, generator: torch.Generator) -> Tensor:
    """Each image (N, C, H, W) moved by up to `distance` pixels a side, filled with zeros."""
    if not distance:
        return images
    count, _, height, width = images.shape
    padded = pad(images, (distance,) * 4)
    offsets = torch.randint(0, 2 * distance + 1, (2, count), generator=generator)
    down, right = offsets.to(images.device)
    rows = (down[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
    samples = torch.arange(count, device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[samples, channels, rows, columns]


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (N, C, H, W) mirrored left to right, or not, as a coin says."""
    coins = torch.randint(0, 2, (len(images), 1, 1, 1), generator=generator).bool()
    return torch.where(coins.to(images.device), images.flip(3), images)
