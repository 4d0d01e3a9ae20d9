"""`bnfold reproduce`: the paper's experiments, run again."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

import bnfold
from bnfold.errors import UsageError
from bnfold.show import show
from bnfold_cli.options import json_option
from bnfold_cli.session import current


def _seeds(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    words = value.split(",")
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise click.BadParameter(f"'{value}' is not different whole numbers, like 0,1,2")
    return tuple(int(word) for word in words)


@click.command(short_help="The paper's experiments, run again")
@click.argument("experiment", type=click.Choice(["mnist"]))
@click.option("--data", metavar="NAME|PATH", help="Default: mnist; with --smoke digits.")
@click.option("--smoke", is_flag=True, help="The same in seconds; its numbers mean nothing.")
@click.option("--out", metavar="DIR", help="Default: runs/reproduce-EXPERIMENT.")
@click.option("--resume", is_flag=True, help="Go on with the experiment in --out, or begin one.")
@click.option("--seeds", default="0,1,2", show_default=True, callback=_seeds)
@json_option
def command(
    experiment: str,
    data: str | None,
    smoke: bool,
    out: str | None,
    resume: bool,
    seeds: tuple[int, ...],
) -> None:
    """Run an experiment of the paper: mnist is section 4.1 with Figure 1.

    Example: bnfold reproduce mnist --data data/mnist --out runs/figure1 --resume
    """
    session = current()
    reproduction = bnfold.reproduction
    scale = replace(reproduction.SMOKE if smoke else reproduction.FULL, seeds=seeds)
    folder = Path(out or f"runs/reproduce-{experiment}")
    if folder.exists() and not folder.is_dir():
        raise UsageError("this is a file", where=show(folder, 300))

    def tell(piece: str) -> None:
        if session.verbosity >= 0:
            print(piece, file=sys.stderr, flush=True)

    found = reproduction.reproduce_mnist(
        folder,
        data=data or ("digits" if smoke else "mnist"),
        scale=scale,
        resume=resume,
        on_piece=tell,
    )
    text = (folder / "result.md").read_text("utf-8")
    session.answer(found.to_dict(), lambda console: console.print(text + f"\nfiles: {folder}"))
