"""Train BatchNorm networks, fold them exactly, verify the fold, measure it, ship it.

Every public name loads on first use: `import bnfold` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnfold.errors import (
    BnfoldError,
    CheckFailed,
    DataError,
    EnvironmentLacks,
    ModelError,
    RunStopped,
    UsageError,
)
from bnfold.version import __version__

if TYPE_CHECKING:
    from bnfold import bn, deployment, latency, onnxfile, reproduction, training, verification
    from bnfold.accuracy import evaluate
    from bnfold.deployment import Deployment, check, deploy
    from bnfold.environment import DoctorReport, doctor
    from bnfold.exporting import export
    from bnfold.folding.report import Fold, FoldReport, Options, Remaining
    from bnfold.latency import BenchReport, bench
    from bnfold.road import FoldResult, fold, inspect
    from bnfold.tour import Tour, quickstart
    from bnfold.training import Run, TrainConfig, calibrate, train
    from bnfold.verification import Verdict, verify

# name -> the module that holds it, and the extra that the module needs
_HOMES: dict[str, tuple[str, str | None]] = {
    "BenchReport": ("bnfold.latency", None),
    "Deployment": ("bnfold.deployment", None),
    "DoctorReport": ("bnfold.environment", None),
    "Fold": ("bnfold.folding.report", None),
    "FoldReport": ("bnfold.folding.report", None),
    "FoldResult": ("bnfold.road", None),
    "Options": ("bnfold.folding.report", None),
    "Remaining": ("bnfold.folding.report", None),
    "Run": ("bnfold.training", "train"),
    "Tour": ("bnfold.tour", None),
    "TrainConfig": ("bnfold.training", "train"),
    "Verdict": ("bnfold.verification", None),
    "bench": ("bnfold.latency", None),
    "calibrate": ("bnfold.training", "train"),
    "check": ("bnfold.deployment", None),
    "deploy": ("bnfold.deployment", None),
    "doctor": ("bnfold.environment", None),
    "evaluate": ("bnfold.accuracy", None),
    "export": ("bnfold.exporting", "train"),
    "fold": ("bnfold.road", None),
    "inspect": ("bnfold.road", None),
    "quickstart": ("bnfold.tour", None),
    "train": ("bnfold.training", "train"),
    "verify": ("bnfold.verification", None),
}
_ROOMS: dict[str, str | None] = {
    "bn": "train",
    "deployment": None,
    "latency": None,
    "onnxfile": None,
    "reproduction": "train",
    "training": "train",
    "verification": None,
}

__all__ = [
    "BenchReport",
    "BnfoldError",
    "CheckFailed",
    "DataError",
    "Deployment",
    "DoctorReport",
    "EnvironmentLacks",
    "Fold",
    "FoldReport",
    "FoldResult",
    "ModelError",
    "Options",
    "Remaining",
    "Run",
    "RunStopped",
    "Tour",
    "TrainConfig",
    "UsageError",
    "Verdict",
    "__version__",
    "bench",
    "bn",
    "calibrate",
    "check",
    "deploy",
    "deployment",
    "doctor",
    "evaluate",
    "export",
    "fold",
    "inspect",
    "latency",
    "onnxfile",
    "quickstart",
    "reproduction",
    "train",
    "training",
    "verification",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        value: Any = _load(f"bnfold.{name}", _ROOMS[name])
    elif name in _HOMES:
        value = getattr(_load(*_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'bnfold' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _load(module: str, extra: str | None) -> Any:
    if extra is None:
        return import_module(module)
    from bnfold.extras import require

    return require(module, extra)
