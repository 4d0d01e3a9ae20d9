"""`bnfold quickstart`: the whole road on embedded real data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

import bnfold
from bnfold.errors import CheckFailed
from bnfold.show import show
from bnfold_cli.options import device_option, json_option, seed_option
from bnfold_cli.progress import steps
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Tour

_STATIONS = {
    "train": "training on 1,437 of scikit-learn's 1,797 handwritten digits",
    "export": "exporting to ONNX, BatchNorms intact",
    "fold": "folding",
    "verify": "verifying the folded model against the exported one",
    "evaluate": "measuring the folded model's accuracy",
    "bench": "timing both",
}


@click.command(short_help="The whole road once, on real digits")
@click.option("--out", default="bnfold-quickstart", show_default=True, metavar="DIR")
@device_option
@seed_option
@json_option
def command(out: str, device: str, seed: int) -> None:
    """Train, export, fold, verify and bench on real digits: the whole road in minutes.

    Example: bnfold quickstart --out /tmp/quickstart
    """
    session = current()

    def station(name: str) -> None:
        if session.verbosity >= 0:
            print(f"{_STATIONS[name]} ...", file=sys.stderr, flush=True)

    tour = bnfold.quickstart(
        out, device=device, seed=seed, on_station=station, on_step=steps(session)
    )
    failed = CheckFailed(tour.shortfall, where=out) if tour.shortfall else None
    session.answer(tour.to_dict(), lambda console: _page(console, tour), failed)


def _page(console: Console, tour: Tour) -> None:
    from bnfold_cli.bench import page as bench_page
    from bnfold_cli.headline import headline
    from bnfold_cli.tables import table, text

    run = tour.run
    statistics = (
        f"{run.calibration.layers} BatchNorms, {run.calibration.samples} samples (Algorithm 2)"
    )
    rows = [
        ("train", f"{run.accuracy:.2%} of held-out digits right, {run.steps} steps", run.folder),
        ("statistics", statistics, run.checkpoint),
        ("export", "equals torch on the same inputs", tour.original),
        ("fold", headline(tour.fold), tour.folded),
        ("verify", text(tour.verdict.sentence, longest=300), ""),
        ("evaluate", f"{tour.accuracy:.2%} of held-out digits right, folded", ""),
    ]
    console.print()
    console.print(table(("step", "what happened", "where it lies"), rows, {"where it lies"}))
    console.print()
    bench_page(console, tour.bench)
    console.print()
    console.print(f"done in {tour.seconds:.0f} s; all files lie in {show(run.folder, 300)}")
