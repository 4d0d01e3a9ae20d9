"""How large the experiment of section 4.2 is: for small images, at ImageNet's size, or for CI."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_type_hints

from bnfold.errors import UsageError


@dataclass(frozen=True, slots=True)
class Study:
    """Steps, images and the grid of rates.

    `steps` of a full run (0: those of the presets) and `grid_steps` of one of the grid; `base` is
    the rate "x1" (0: the best of Inception's grid); `images`, `tests`: a seeded choice of so many
    (0: all), reduced to `pixels`; `width` of the small nets (0: those of ImageNet's size); held-out
    accuracy is measured every `every` steps. `others`: seeds of the arms beside the main three.
    Training moves images by up to `shift` pixels: to small ones what random crops are to files.
    """

    steps: int
    grid_steps: int
    rates: tuple[float, ...]
    base: float = 0.0
    batch: int = 32
    images: int = 0
    tests: int = 0
    pixels: int = 224
    width: float = 0.0
    every: int = 50
    calibration: int = 100
    shift: int = 0
    seeds: tuple[int, ...] = (0, 1, 2)
    others: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def lasting(self) -> dict[str, Any]:
        """What cannot change when an experiment goes on: all but how many seeds it takes."""
        return {k: v for k, v in self.to_dict().items() if k not in ("seeds", "others")}


SMALL = Study(
    steps=1500, grid_steps=300, rates=(0.003, 0.01, 0.03, 0.1, 0.3), images=10_000, tests=2_000,
    pixels=20, width=0.125, calibration=50,
)  # fmt: skip
SMALLEST = Study(
    steps=6, grid_steps=3, rates=(0.01, 3e38), images=64, tests=32, batch=16, pixels=8,
    width=1 / 32, every=3, calibration=2, seeds=(0,),
)  # fmt: skip
IMAGENET = Study(
    steps=0, grid_steps=20_000, rates=(0.0015, 0.0075, 0.045), base=0.0015, every=20_000
)


def changed(study: Study, settings: Iterable[str]) -> Study:
    """The study with KEY=VALUE settings over it; rates and seeds are lists, 0.01,0.1.

    Raises:
        UsageError: a setting is not KEY=VALUE, or a key or a value is not right.
    """
    kinds = get_type_hints(Study)
    keys = [field.name for field in fields(Study)]
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5) or [", ".join(keys)]
            raise UsageError(f"'{setting}' is no KEY=VALUE of a study", hint=f"keys: {near[0]}")
        try:
            values[key] = _parsed(kinds[key], text)
        except ValueError:
            raise UsageError(f"{setting}: not a number, or not in range") from None
    found = replace(study, **values)
    if not (found.rates and found.seeds and found.every and found.batch > 1 and found.pixels):
        raise UsageError("rates, seeds, every, batch and pixels must be positive")
    return found


def _parsed(kind: Any, text: str) -> Any:
    """A number from zero on, or several."""
    if kind in (int, float):
        value = kind(text)
        if not 0 <= value < float("inf"):
            raise ValueError(text)
        return value
    one = kind.__args__[0]
    return tuple(_parsed(one, word) for word in text.split(","))
