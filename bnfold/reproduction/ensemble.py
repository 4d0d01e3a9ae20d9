"""Figure 4: one crop of an image, several, and an ensemble of six nets (4.2.3).

Each net is BN-x30 with some of the paper's changes; what they say is averaged. The last step puts
all of them into one graph and takes it down the road: export, fold, verify, bench.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bnfold.errors import RunStopped
from bnfold.reproduction.experiment import RESULT, begun, head, resumable, shared_out
from bnfold.reproduction.nets import Net, Trained, nets, trained, votes_of
from bnfold.reproduction.piece import write_json
from bnfold.reproduction.road_end import Arrival, arrival, provider_for
from bnfold.reproduction.study import IMAGENET, SMALL, SMALLEST, Study
from bnfold.reproduction.tally import Row, by_size, rows
from bnfold.training import Crops, Dataset, Device, ensemble
from bnfold.training.encoded import EncodedSplit

SIX = tuple(range(6))
# no grid here: the rate is 30 times the base, which Figure 3's grid finds
# several crops help a net that was trained on such: by a fourteenth of the size, as they are
SMALL_SIX = replace(SMALL, steps=1500, base=0.003, shift=1, seeds=SIX)
SMALLEST_TWO = replace(SMALLEST, base=0.0003, seeds=(0, 1))
IMAGENET_SIX = replace(IMAGENET, seeds=SIX)


@dataclass(frozen=True, slots=True)
class Figure4:
    """What came out so far: the nets, the rows of the figure, and the road's end.

    `sizes`: for each kind of crops the top-1 errors of ensembles of 1, 2, ... of the nets.
    """

    folder: Path
    data: str
    images: tuple[int, int]
    shape: tuple[int, int, int]
    study: Study
    nets: tuple[Trained, ...]
    alone: dict[Crops, tuple[float, ...]]
    rows: tuple[Row, ...]
    sizes: dict[Crops, tuple[float, ...]]
    arrival: Arrival | None = None

    @property
    def voting(self) -> tuple[Trained, ...]:
        """The nets whose training did not diverge."""
        return tuple(net for net in self.nets if net.stopped is None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            **head("ensemble", self.data, self.images, self.shape, self.study),
            "nets": [net.to_dict() for net in self.nets],
            "top1_error_alone": {str(c): list(v) for c, v in self.alone.items()},
            "rows": [row.to_dict() for row in self.rows],
            "top1_error_by_size": {str(c): list(v) for c, v in self.sizes.items()},
            "road": None if self.arrival is None else self.arrival.to_dict(),
        }  # fmt: skip


def reproduce_ensemble(
    folder: Path,
    *,
    data: str = "fashion-mnist",
    study: Study = SMALL_SIX,
    device: Device = "auto",
    resume: bool = False,
    on_piece: Callable[[str], None] | None = None,
) -> Figure4:
    """Run what is left of the experiment in `folder`; result.json and result.md tell as it goes.

    A net a seed of the study. The same call in several processes, with `resume`, shares them out.

    Raises:
        UsageError: the folder holds an experiment, or one of other settings.
        DataError: the data set is missing, damaged or too small, or the folder cannot be written.
        EnvironmentLacks: the device, or what the road's end needs, is not there.
        CheckFailed: the folded ensemble is not equivalent to the trained one.
        RunStopped: every net diverged.
        Interrupted: SIGINT or SIGTERM; what was done is kept.
    """
    from bnfold.reproduction.ensemble_figures import draw

    images = begun(folder, data, study, device, resume=resume)
    tell = on_piece or (lambda _: None)
    with resumable(folder, "ensemble"):
        found = _trained(folder, data, images, study, device, tell)
    if not found.voting:
        raise RunStopped(f"every net diverged: {found.nets[0].stopped}", where=str(folder))
    tell("the road of the ensemble: export, fold, verify, bench")
    found = replace(found, arrival=_travelled(found, device))
    _write(found)
    draw(found, folder)
    return found


def crops_for(images: Dataset) -> Crops:
    """GoogLeNet's of images that have a margin, those in files; shifts and mirrors of others."""
    files = isinstance(images.test, EncodedSplit)
    return Crops.GOOGLENET if files else Crops.SHIFTED_FLIPPED


def _trained(
    folder: Path,
    name: str,
    images: Dataset,
    study: Study,
    device: Device,
    tell: Callable[[str], None],
) -> Figure4:
    """Every net trained and asked; after each one, the result as far as it goes."""
    wanted, done = nets(study), dict[Net, Trained]()
    kinds = Crops.SINGLE, crops_for(images)

    def work(net: Net) -> Trained:
        tell(f"net {wanted.index(net) + 1}/{len(wanted)}: {net.changes}, seed {net.seed}")
        done[net] = trained(net, study, images, name, folder, device)
        for crops in kinds if done[net].stopped is None else ():
            tell(f"its votes on {crops.number} crops of {len(images.test):,} images")
            votes_of(net, crops, images, folder, device)
        _write(told([done[n] for n in wanted if n in done]))
        return done[net]

    def told(some: Sequence[Trained]) -> Figure4:
        counts = len(images.train), len(images.test)
        own = {
            crops: [
                votes_of(t.net, crops, images, folder, device) for t in some if t.stopped is None
            ]
            for crops in kinds
        }
        labels = images.test.labels.cpu().numpy()
        voted = bool(own[Crops.SINGLE])
        alone = {c: tuple(float(np.mean(v.argmax(1) != labels)) for v in own[c]) for c in kinds}
        return Figure4(
            folder, images.name, counts, images.shape, study, tuple(some), alone,
            rows(own, labels) if voted else (),
            {crops: by_size(own[crops], labels) for crops in kinds} if voted else {},
        )  # fmt: skip

    return told(list(shared_out(folder, wanted, work).values()))


def _travelled(found: Figure4, device: Device) -> Arrival:
    """All nets that vote, as one graph."""
    own = [trained.net for trained in found.voting]
    whole = ensemble([found.folder / "runs" / net.name for net in own])
    name = f"ensemble-{len(own)}-seeds-{'-'.join(str(net.seed) for net in own)}"
    return arrival(found.folder, name, whole, provider_for(device), model="ensemble")


def _write(found: Figure4) -> None:
    from bnfold.onnxfile import write_text
    from bnfold.reproduction.ensemble_table import markdown

    write_json(found.folder / RESULT, found.to_dict())
    write_text(found.folder / "result.md", markdown(found))
