"""What each ONNX Runtime takes: the newest IR version and opset, as measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bnfold.errors import UsageError
from bnfold.show import show


class Limits(NamedTuple):
    """The newest IR version, and the newest opset of the domain ai.onnx."""

    ir: int
    opset: int


# Measured: a Conv and a Relu saved with each IR version 3-15 at opset 13, and with each opset
# 13-29 at IR 8, loaded by the newest wheel of each minor version (CPU). No API of ONNX Runtime
# tells them (microsoft/onnxruntime issue 14932).
LIMITS: Mapping[str, Limits] = {
    "1.15": Limits(9, 19),
    "1.16": Limits(9, 19),
    "1.17": Limits(9, 20),
    "1.18": Limits(10, 21),
    "1.19": Limits(10, 21),
    "1.20": Limits(10, 21),
    "1.21": Limits(10, 22),
    "1.22": Limits(10, 22),
    "1.23": Limits(11, 23),
    "1.24": Limits(13, 25),
    "1.25": Limits(13, 26),
    "1.26": Limits(13, 26),
    "1.27": Limits(13, 26),
    "1.28": Limits(13, 26),
    "1.29": Limits(13, 26),
    "1.30": Limits(13, 26),
    "1.31": Limits(13, 26),
    "1.32": Limits(14, 28),
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the folder goes: ONNX Runtime of a minor version, with what it takes."""

    version: str
    limits: Limits

    def __str__(self) -> str:
        return f"ort:{self.version}"


def target(text: str) -> Target:
    """`ort:1.18`, `ort:1.18.1`.

    Raises:
        UsageError: no such runtime, or a version that was not measured.
    """
    found = re.fullmatch(r"ort:(\d+\.\d+)(\.\d+)?", text)
    if not found:
        raise UsageError(f"unknown target '{show(text)}'", hint="like ort:1.18")
    version = found.group(1)
    if version not in LIMITS:
        first, *_, last = LIMITS
        raise UsageError(
            f"nothing is known of ONNX Runtime {version}",
            hint=f"known are ort:{first} to ort:{last}",
        )
    return Target(version, LIMITS[version])


def installed() -> Target:
    """The onnxruntime of this environment; the newest known one where it is newer still."""
    import onnxruntime

    version = ".".join(onnxruntime.__version__.split(".")[:2])
    return Target(version, LIMITS.get(version, LIMITS[list(LIMITS)[-1]]))
