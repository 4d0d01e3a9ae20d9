"""`bnfold calibrate`: population statistics once more (Algorithm 2)."""

from __future__ import annotations

from typing import Any

import click

import bnfold
from bnfold.show import show
from bnfold_cli.options import device_option, json_option
from bnfold_cli.session import current


@click.command(short_help="Compute population statistics again")
@click.argument("target", metavar="RUN|CHECKPOINT")
@click.option("--data", metavar="NAME|PATH", help="Default: what it was trained on.")
@click.option(
    "--estimator",
    type=click.Choice(["pooled", "paper", "moving"]),
    default="pooled",
    show_default=True,
)
@click.option("--batches", type=click.IntRange(1), default=100, show_default=True)
@click.option("-o", "--output", "out", metavar="CHECKPOINT", help="Default: in place.")
@device_option
@json_option
def command(target: str, **options: Any) -> None:
    """Compute a network's population statistics again (Algorithm 2 of the paper).

    Example: bnfold calibrate runs/mnist --batches 200
    """
    done = bnfold.calibrate(target, **options)
    lines = (
        f"{done.layers} BatchNorms from {done.samples} samples ({done.estimator})",
        f"drift between two passes {done.drift:.2g} deviations, dead channels {done.dead_channels}",
        *(
            f"variances by '{name}': {low:.3f} to {high:.3f} of these"
            for name, (low, high) in done.variance_ratios.items()
        ),
        f"held-out accuracy {done.accuracy_before:.2%} -> {done.accuracy:.2%}",
        f"wrote {show(done.checkpoint, 300)}",
    )
    current().answer(done.to_dict(), lambda console: console.print("\n".join(lines)))
