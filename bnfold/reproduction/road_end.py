"""The last step: the trained net is exported, folded, verified and timed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnfold import onnxfile
from bnfold.errors import CheckFailed, DataError
from bnfold.exporting import export
from bnfold.folding.report import Options
from bnfold.latency import bench
from bnfold.merging.engine import folded_in_place
from bnfold.reproduction.experiment import shared_out
from bnfold.reproduction.piece import write_json
from bnfold.training import Device, Ensemble
from bnfold.verification import verify

BATCHES = (1, 32)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Counts before and after the fold, the verdict, and latencies in milliseconds (medians).

    `latency` has a row a batch size: as exported, folded, both by ONNX Runtime's default, which
    folds too; `verdicts` says what `bench` makes of each pair. `staying` counts the BatchNorms that
    are left, by the code of the reason.
    """

    name: str
    nodes: tuple[int, int]
    batchnorms: tuple[int, int]
    verdict: str
    latency: tuple[tuple[int, float, float], ...]
    verdicts: tuple[str, ...]
    staying: tuple[tuple[str, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def arrival(
    folder: Path, name: str, network: Path | Ensemble, provider: str, *, model: str
) -> Arrival:
    """Take a network down the road as `model`.onnx, or read what came of it under this name.

    Raises:
        CheckFailed: the folded net is not equivalent; nothing is written then.
        ModelError: it cannot be exported.
        EnvironmentLacks: onnxruntime or the provider is not there.
        DataError: a file cannot be written, or is damaged.
    """
    file = folder / "pieces" / f"road-{name}.json"

    def work(_: _Road) -> Arrival:
        if file.is_file():
            return _read(file)
        found = _travel(folder / model, name, network, provider)
        write_json(file, found.to_dict())
        return found

    road = _Road(f"road-{name}")
    return shared_out(folder, [road], work)[road]


def provider_for(device: Device) -> str:
    """CUDA where ONNX Runtime can really use it, unless the CPU is asked for."""
    from bnfold.latency.probe import probe

    usable = device != "cpu" and probe("CUDAExecutionProvider").loads
    return "cuda" if usable else "cpu"


@dataclass(frozen=True, slots=True)
class _Road:
    """What is shared out: one journey."""

    name: str


def _travel(stem: Path, name: str, network: Path | Ensemble, provider: str) -> Arrival:
    original, folded = (stem.with_name(stem.name + end) for end in (".onnx", ".folded.onnx"))
    onnxfile.write(export(network), original)
    file = onnxfile.read(original)
    report = folded_in_place(file.model, Options())
    onnxfile.stamp(file.model, file.sha256, len(report.folded), asdict(Options()))
    verdict = verify(original, file.model)
    if not verdict.ok:
        raise CheckFailed(verdict.sentence, where=str(original))
    onnxfile.write(file.model, folded)
    timed = bench([original, folded], batches=BATCHES, provider=provider, quick=True)
    plain = [row for row in timed.rows if not row.disabled]  # without the ablation of `bench`
    rows = {(row.batch, row.label): row.median_ms for row in plain}
    labels = list(dict.fromkeys(row.label for row in plain))
    return Arrival(
        name,
        (report.before.nodes, report.after.nodes),
        (report.before.batchnorms, report.after.batchnorms),
        verdict.sentence,
        tuple((b, rows[b, labels[0]], rows[b, labels[1]]) for b in BATCHES),
        tuple(c.sentence for c in timed.comparisons if (c.base, c.other) == (labels[0], labels[1])),
        tuple(sorted(Counter(str(left.code) for left in report.remaining).items())),
    )


def _read(file: Path) -> Arrival:
    try:
        found = json.loads(file.read_text("utf-8"))
        latency = tuple((int(b), float(x), float(y)) for b, x, y in found["latency"])
        nodes, norms = (found[key] for key in ("nodes", "batchnorms"))
        return Arrival(
            str(found["name"]), (nodes[0], nodes[1]), (norms[0], norms[1]), str(found["verdict"]),
            latency, tuple(map(str, found["verdicts"])),
            tuple((str(code), int(count)) for code, count in found.get("staying", ())),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(f"not the end of a road: {cause}", where=str(file)) from cause
