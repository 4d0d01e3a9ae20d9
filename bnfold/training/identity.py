"""What must be the same on every rank: the code, the configuration, the data."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from bnfold.training.config import TrainConfig
from bnfold.training.dataset import Dataset, Images, Split
from bnfold.version import __version__

PLACES = frozenset({"out", "data", "threads"})  # where things lie may differ between hosts
SAMPLED = 16  # images of a split that is not in memory


def facts(config: TrainConfig, data: Dataset) -> dict[str, object]:
    """Each setting, and digests of data and code."""
    settings = {k: v for k, v in config.to_dict().items() if k not in PLACES}
    return {
        **settings,
        "data": _digest(data),
        "code version": f"bnfold {__version__} {_sources()}, torch {torch.__version__}",
    }


def network(model: nn.Module) -> dict[str, object]:
    """Names and shapes of what the network holds, in one digest."""
    shapes = [(name, tuple(t.shape)) for name, t in model.state_dict().items()]
    return {"network": hashlib.sha256(repr(shapes).encode()).hexdigest()[:12]}


def _digest(data: Dataset) -> str:
    said = {**data.describe(), "name": ""}  # a folder may have another name elsewhere
    told = hashlib.sha256(repr(said).encode())
    for part in (data.train, data.test):
        told.update(part.labels.cpu().numpy().tobytes())
        told.update(_pixels(part))
    return told.hexdigest()[:12]


def _pixels(images: Images) -> bytes:
    if isinstance(images, Split):
        return images.images.cpu().numpy().tobytes()
    spread = torch.linspace(0, len(images) - 1, min(SAMPLED, len(images))).long()
    return images.take(spread)[0].cpu().numpy().tobytes()


def _sources() -> str:
    """A digest of this package's own files."""
    told = hashlib.sha256()
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        told.update(str(path.relative_to(root)).encode())
        told.update(path.read_bytes())
    return told.hexdigest()[:12]
