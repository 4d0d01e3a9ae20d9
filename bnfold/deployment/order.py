"""What a deployment is asked for, its words checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from bnfold import child
from bnfold.deployment import targets
from bnfold.deployment.smoke.words import PROVIDERS
from bnfold.errors import UsageError
from bnfold.folding.report import Options
from bnfold.show import show
from bnfold.verification.cases import Shapes

Told = Callable[[str], None]
Kind = TypeVar("Kind", bound=Enum)


class Layout(Enum):
    """How the folder is laid out."""

    PLAIN = "plain"
    TRITON = "triton"


class Precision(Enum):
    """What the deployed model computes in."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Order:
    """One deployment. `calibration`: inputs for int8, and for the ranges of half precision."""

    fold: Options
    target: targets.Target
    layout: Layout
    precision: Precision
    provider: str
    batches: tuple[int, ...]
    shapes: Shapes | None
    calibration: str | os.PathLike[str] | None
    instances: int
    seed: int
    timeout_s: float
    told: Told


def order(
    *,
    fold: Options | None = None,
    target: str | None = None,
    layout: str = "plain",
    dtype: str = "float32",
    quantize: str | None = None,
    calibration: str | os.PathLike[str] | None = None,
    provider: str = "cpu",
    batches: Sequence[int] = (1, 3),
    shapes: Shapes | None = None,
    instances: int = 1,
    seed: int = 0,
    timeout_s: float = child.SECONDS,
    progress: Told | None = None,
) -> Order:
    """The order; see `deploy`.

    Raises:
        UsageError: an unknown word, or options that exclude each other.
    """
    if quantize not in (None, "int8"):
        raise UsageError(f"unknown quantisation {show(quantize)}", hint="int8")
    if quantize and dtype != "float32":
        raise UsageError(f"int8 and {show(dtype)} exclude each other")
    if quantize and calibration is None:
        raise UsageError("int8 wants calibration data", hint="--calibration DATA")
    if provider not in PROVIDERS:
        raise UsageError(f"unknown provider {show(provider)}", hint=f"of {', '.join(PROVIDERS)}")
    if not batches or min(batches) < 1 or instances < 1:
        raise UsageError("batch sizes and instances start at 1")
    return Order(
        fold=fold or Options(),
        target=targets.installed() if target is None else targets.target(target),
        layout=_word(Layout, layout, "layout"),
        precision=_word(Precision, quantize or dtype, "dtype"),
        provider=provider,
        batches=tuple(dict.fromkeys(batches)),
        shapes=shapes,
        calibration=calibration,
        instances=instances,
        seed=seed,
        timeout_s=timeout_s,
        told=progress or (lambda what: None),
    )


def _word(kind: type[Kind], word: str, what: str) -> Kind:
    words = [str(one.value) for one in kind]
    if word not in words:
        raise UsageError(f"unknown {what} {show(word)}", hint=f"one of {', '.join(words)}")
    return kind(word)
