"""`bnfold reproduce`: the paper's experiments, run again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

import bnfold
from bnfold.errors import UsageError
from bnfold.show import show
from bnfold_cli.options import device_option, json_option
from bnfold_cli.session import current

if TYPE_CHECKING:
    from bnfold.training import Device


DATA = {"small": "fashion-mnist", "imagenet": "imagenet", "smoke": "digits"}


class Found(Protocol):
    """What an experiment returns."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""


@dataclass(frozen=True, slots=True)
class Call:
    """The options; `scale` is small, imagenet or smoke, `data` and `seeds` None by default."""

    folder: Path
    data: str | None
    scale: str
    device: Device
    resume: bool
    seeds: tuple[int, ...] | None
    settings: tuple[str, ...]
    tell: Callable[[str], None]


def _mnist(call: Call) -> Found:
    room = bnfold.reproduction
    if call.settings or call.scale == "imagenet":
        raise UsageError("mnist has one scale and no settings", hint="--smoke, --seeds")
    smoke = call.scale == "smoke"
    return room.reproduce_mnist(
        call.folder, data=call.data or ("digits" if smoke else "mnist"),
        scale=replace(room.SMOKE if smoke else room.FULL, seeds=call.seeds or (0, 1, 2)),
        device=call.device, resume=call.resume, on_piece=call.tell,
    )  # fmt: skip


def _inception(call: Call) -> Found:
    room = bnfold.reproduction
    studies = {"small": room.SMALL, "imagenet": room.IMAGENET, "smoke": room.SMALLEST}
    study = room.changed(studies[call.scale], call.settings)
    if call.seeds:
        study = replace(study, seeds=call.seeds)
    return room.reproduce_inception(
        call.folder, data=call.data or DATA[call.scale], study=study, device=call.device,
        resume=call.resume, on_piece=call.tell,
    )  # fmt: skip


def _ensemble(call: Call) -> Found:
    room = bnfold.reproduction
    studies = {
        "small": room.SMALL_SIX, "imagenet": room.IMAGENET_SIX, "smoke": room.SMALLEST_TWO
    }  # fmt: skip
    study = room.changed(studies[call.scale], call.settings)
    if call.seeds:
        study = replace(study, seeds=call.seeds)
    return room.reproduce_ensemble(
        call.folder, data=call.data or DATA[call.scale], study=study, device=call.device,
        resume=call.resume, on_piece=call.tell,
    )  # fmt: skip


EXPERIMENTS: Mapping[str, Callable[[Call], Found]] = {
    "mnist": _mnist, "inception": _inception, "ensemble": _ensemble,
}  # fmt: skip


def _seeds(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    words = value.split(",")
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise click.BadParameter(f"'{value}' is not different whole numbers, like 0,1,2")
    return tuple(int(word) for word in words)


@click.command(short_help="The paper's experiments, run again")
@click.argument("experiment", type=click.Choice(list(EXPERIMENTS)))
@click.option("--data", metavar="NAME|PATH", help="Default: the experiment's own (docs/paper.md).")
@click.option(
    "--scale", type=click.Choice(["small", "imagenet"]), default="small", show_default=True,
    help="Small images, or the paper's own size.",
)  # fmt: skip
@click.option("--smoke", is_flag=True, help="The same in seconds; its numbers mean nothing.")
@click.option("--out", metavar="DIR", help="Default: runs/reproduce-EXPERIMENT.")
@click.option("--resume", is_flag=True, help="Go on with the experiment in --out, or begin one.")
@click.option("--seeds", help="Default: 0,1,2; with --smoke perhaps fewer.", callback=_seeds)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Steps, images, ...")
@device_option
@json_option
def command(
    experiment: str,
    data: str | None,
    scale: str,
    smoke: bool,
    out: str | None,
    resume: bool,
    seeds: tuple[int, ...] | None,
    settings: tuple[str, ...],
    device: Device,
) -> None:
    """Run an experiment of the paper: mnist is Figure 1, inception 2 and 3, ensemble 4.

    Example: bnfold reproduce inception --data data/fashion-mnist --out runs/figure3 --resume
    """
    session = current()
    folder = Path(out or f"runs/reproduce-{experiment}")
    if folder.exists() and not folder.is_dir():
        raise UsageError("this is a file", where=show(folder, 300))

    def tell(piece: str) -> None:
        if session.verbosity >= 0:
            print(piece, file=sys.stderr, flush=True)

    size = "smoke" if smoke else scale
    found = EXPERIMENTS[experiment](Call(folder, data, size, device, resume, seeds, settings, tell))
    text = (folder / "result.md").read_text("utf-8")
    session.answer(
        found.to_dict(), lambda console: console.print(text + f"\nfiles: {show(folder, 300)}")
    )
