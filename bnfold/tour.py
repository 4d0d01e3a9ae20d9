"""`quickstart`: the whole road once, on real data: train, export, fold, verify, bench."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnfold import onnxfile
from bnfold.errors import CheckFailed
from bnfold.extras import require

if TYPE_CHECKING:
    from bnfold.folding.report import FoldReport
    from bnfold.latency import BenchReport
    from bnfold.training import Run, StepMetrics
    from bnfold.verification import Verdict

ENOUGH = 0.97  # held-out accuracy that the road must reach
BATCHES = (1, 64)


@dataclass(frozen=True, slots=True)
class Tour:
    """What happened at each station; `seconds` of the whole, paths of what was written."""

    run: Run
    fold: FoldReport
    verdict: Verdict
    bench: BenchReport
    accuracy: float
    original: Path
    folded: Path
    provider: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Accurate enough, no BatchNorm left, and equivalent."""
        return self.shortfall is None

    @property
    def shortfall(self) -> str | None:
        """What did not come out as it must, if anything."""
        if min(self.run.accuracy, self.accuracy) < ENOUGH:
            return f"held-out accuracy {min(self.run.accuracy, self.accuracy):.2%} < {ENOUGH:.0%}"
        if self.fold.after.batchnorms:
            return f"{self.fold.after.batchnorms} BatchNorms were left"
        return None if self.verdict.ok else self.verdict.sentence

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "ok": self.ok,
            "seconds": self.seconds,
            "original": str(self.original),
            "folded": str(self.folded),
            "accuracy": {"torch": self.run.accuracy, "folded": self.accuracy},
            "provider": self.provider,
            "train": self.run.to_dict(),
            "fold": self.fold.to_dict(),
            "verify": self.verdict.to_dict(),
            "bench": self.bench.to_dict(),
        }


def quickstart(
    out: str | os.PathLike[str] = "bnfold-quickstart",
    *,
    device: str = "auto",
    seed: int = 0,
    on_station: Callable[[str], None] | None = None,
    on_step: Callable[[StepMetrics], None] | None = None,
) -> Tour:
    """Train on scikit-learn's digits, export, fold, verify, bench; files lie in `out`.

    What an earlier tour left in `out` is replaced. `on_station` hears where the road is.

    Raises:
        EnvironmentLacks: torch, scikit-learn, ONNX Runtime or the device is not there.
        DataError: `out` cannot be written.
        CheckFailed: the folded model is not equivalent.
    """
    start = time.perf_counter()
    training = require("bnfold.training", "train")
    exporting = require("bnfold.exporting", "train")
    from bnfold.latency import bench, runtime
    from bnfold.verification import verify

    runtime.onnxruntime()  # its absence shows now, not after the training
    tell = on_station or (lambda _: None)
    folder = Path(out)
    original, folded = folder / "digits.onnx", folder / "digits.folded.onnx"

    tell("train")
    config = replace(training.preset("digits"), out=str(folder), device=device, seed=seed)
    run = training.train(config, existing="replace", on_step=on_step)
    tell("export")
    onnxfile.write(exporting.export(run, seed=seed), original)
    tell("fold")
    result = _folded(original)
    tell("verify")
    verdict = verify(original, result.model, seed=seed)
    if not verdict.ok:
        raise CheckFailed(verdict.sentence, where=str(original))
    onnxfile.write(result.model, folded)
    tell("evaluate")
    provider = _provider(device)
    accuracy = _accuracy(folded, provider)
    tell("bench")
    timed = bench([original, folded], batches=BATCHES, provider=provider, seed=seed, quick=True)
    seconds = time.perf_counter() - start
    return Tour(run, result.report, verdict, timed, accuracy, original, folded, provider, seconds)


def _folded(path: Path) -> Any:
    from bnfold.road import fold

    return fold(path)


def _accuracy(path: Path, provider: str) -> float:
    from bnfold.accuracy import evaluate

    return evaluate(path, "digits", provider=provider).accuracy


def _provider(device: str) -> str:
    """CUDA where ONNX Runtime can really use it, unless the CPU is asked for."""
    from bnfold.latency.probe import probe

    if device != "cpu" and probe("CUDAExecutionProvider").loads:
        return "cuda"
    return "cpu"
