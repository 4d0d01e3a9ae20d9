"""`bnfold train`: train a BatchNorm network, then take its population statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

import bnfold
from bnfold.errors import UsageError
from bnfold.show import show
from bnfold_cli.options import device_option, json_option
from bnfold_cli.progress import steps
from bnfold_cli.session import Session, current, write_out

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Run, TrainConfig


def _list(ctx: click.Context, _: click.Parameter, what: str | None) -> None:
    """`--list`: print names and end."""
    if what is None:
        return
    found = _names(what)
    session = ctx.find_object(Session)
    if session and session.json:
        session.tell({what: list(found)})
    else:
        write_out("".join(f"{name}\n" for name in found))
    ctx.exit()


def _names(what: str) -> tuple[str, ...]:
    """What there is to choose from."""
    training = bnfold.training
    if what == "models":
        from bnfold_models import names

        return names()
    lists = {"data": training.DATA_NAMES, "presets": training.PRESETS, "keys": training.KEYS}
    return tuple(lists[what])


@click.command(short_help="Train a BatchNorm network")
@click.option("--model", metavar="NAME|package.module:callable", help="The network.")
@click.option(
    "--data", metavar="NAME|PATH|package.module:callable", help="The data set: --list data."
)
@click.option("--preset", metavar="NAME", help="Where to start from; other options go over it.")
@click.option("--out", metavar="DIR", help="The run folder; default runs/MODEL-DATA.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or begin one.")
@click.option("--elastic", is_flag=True, default=None, help="Resume with another rank count.")
@click.option("--sync-bn", is_flag=True, default=None, help="BatchNorm over all ranks' images.")
@click.option("--weights", metavar="FILE", help="Start from: a run, .safetensors, a state dict.")
@click.option("--freeze-bn", is_flag=True, default=None, help="Leave the BatchNorms as they are.")
@click.option("--seed", type=click.IntRange(0), help="Of all that is random.")
@device_option
@click.option(
    "--estimator", type=click.Choice(["pooled", "paper", "moving"]), help="Of the statistics."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting.")
@click.option(
    "--list",
    type=click.Choice(["models", "data", "presets", "keys"]),
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="Print what there is to choose from, and end.",
)
@json_option
def command(
    preset: str | None,
    resume: bool,
    settings: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Train a BatchNorm network and compute its population statistics (Algorithm 2).

    Example: bnfold train --preset mnist --data data/mnist --out runs/mnist
    """
    session = current()
    config = _config(preset, settings, {k: v for k, v in chosen.items() if v is not None})
    run = bnfold.train(config, existing="resume" if resume else "refuse", on_step=steps(session))
    if run.rank == 0:  # one answer, however many processes torchrun has started
        session.answer(run.to_dict(), lambda console: page(console, run))


def _config(preset: str | None, settings: tuple[str, ...], chosen: dict[str, Any]) -> TrainConfig:
    """The preset, then the named options, then --set."""
    training = bnfold.training
    if preset is None and not {"model", "data"} <= chosen.keys():
        raise UsageError(
            "say what to train: --model and --data, or --preset", hint="bnfold train --list presets"
        )
    start = training.preset(preset) if preset else bnfold.TrainConfig()
    return training.override(replace(start, **chosen), settings)


def page(console: Console, run: Run) -> None:
    """Where the run lies and how good it is."""
    console.print(f"{run.steps} steps in {run.seconds:.0f} s, held-out accuracy {run.accuracy:.2%}")
    console.print(
        f"population statistics of {run.calibration.layers} BatchNorms "
        f"from {run.calibration.samples} samples ({run.calibration.estimator})"
    )
    console.print(f"wrote {show(run.checkpoint, 300)}")
