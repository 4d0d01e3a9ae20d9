"""Augmentation on the device, seeded by (seed, step): workers and resuming cannot change it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, slots=True)
class Part:
    """Which images of a step's whole batch of `count` these are: what each gets is the same."""

    count: int
    places: Tensor


def shifted(
    images: Tensor, distance: int, generator: torch.Generator, part: Part | None = None
) -> Tensor:
    """Each image (N, C, H, W) moved by up to `distance` pixels a side, filled with zeros."""
    if not distance:
        return images
    count, _, height, width = images.shape
    padded = pad(images, (distance,) * 4)
    drawn = part.count if part else count
    offsets = torch.randint(0, 2 * distance + 1, (2, drawn), generator=generator)
    offsets = offsets[:, part.places] if part else offsets
    down, right = offsets.to(images.device)
    rows = (down[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
    samples = torch.arange(count, device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[samples, channels, rows, columns]


def flipped(images: Tensor, generator: torch.Generator, part: Part | None = None) -> Tensor:
    """Each image (N, C, H, W) mirrored left to right, or not, as a coin says."""
    drawn = part.count if part else len(images)
    coins = torch.randint(0, 2, (drawn, 1, 1, 1), generator=generator).bool()
    coins = coins[part.places] if part else coins
    return torch.where(coins.to(images.device), images.flip(3), images)


def jittered(
    images: Tensor, strength: float, generator: torch.Generator, part: Part | None = None
) -> Tensor:
    """Each uint8 image (N, C, H, W) with its brightness and its contrast changed, by factors.

    Both are drawn from [1 - strength, 1 + strength]; contrast is about the image's own mean.
    """
    if not strength:
        return images
    drawn = part.count if part else len(images)
    factors = 1 + strength * (2 * torch.rand((2, drawn), generator=generator) - 1)
    factors = factors[:, part.places] if part else factors
    brightness, contrast = factors.to(images.device)[..., None, None, None]
    bright = images.float() * brightness
    mean = bright.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (mean + (bright - mean) * contrast).round_().clamp_(0, 255).to(images.dtype)
    return changed
