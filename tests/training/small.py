"""Runs of a second: the paper's little net on the digits."""

from __future__ import annotations

from pathlib import Path

from bnfold.training import TrainConfig


def config(out: Path, **changes: object) -> TrainConfig:
    """12 steps in 3 epochs of a fraction of the digits' size; one checkpoint an epoch."""
    base = {
        "model": "mnist-mlp-bn", "data": "digits", "out": str(out), "device": "cpu", "epochs": 3,
        "batch": 350, "shift": 1, "log_every": 1, "save_every": 1, "calibration_batches": 2,
    }  # fmt: skip
    return TrainConfig(**(base | changes))  # type: ignore[arg-type]
