"""`bnfold verify`: are two models the same function, up to rounding?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import bnfold
from bnfold.errors import CheckFailed, UsageError
from bnfold_cli.options import (
    Shapes,
    json_option,
    provider_option,
    read_batches,
    seed_option,
    shape_option,
    timeout_option,
)
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Verdict


@click.command(short_help="Are two models equivalent, up to rounding?")
@click.argument("original")
@click.argument("candidate")
@click.option("--inputs", metavar="FILE|FOLDER", help="Real inputs in place of random ones.")
@click.option(
    "--batch",
    "batches",
    callback=read_batches,
    default="1,3",
    show_default=True,
    metavar="N[,N]",
    help="Batch sizes.",
)
@shape_option
@provider_option
@seed_option
@timeout_option
@click.option("--rtol", type=click.FloatRange(0), help="With --atol: judge by a fixed tolerance.")
@click.option("--atol", type=click.FloatRange(0), help="With --rtol: judge by a fixed tolerance.")
@click.option("--layers", is_flag=True, help="Compare the tensors in between, too.")
@json_option
def command(
    original: str,
    candidate: str,
    inputs: str | None,
    batches: tuple[int, ...],
    shapes: Shapes,
    provider: str,
    seed: int,
    timeout_s: float,
    rtol: float | None,
    atol: float | None,
    layers: bool,
) -> None:
    """Compare CANDIDATE with ORIGINAL on the same inputs; exit 4 where they differ.

    Example: bnfold verify resnet50.onnx resnet50.folded.onnx --batch 1,4
    """
    if (rtol is None) != (atol is None):
        raise UsageError("--rtol and --atol go together")
    verdict = bnfold.verify(
        original,
        candidate,
        batches=batches,
        shapes=shapes,
        provider=provider,
        inputs=inputs,
        rtol=rtol,
        atol=atol,
        seed=seed,
        timeout_s=timeout_s,
        layers=layers,
    )
    failed = None if verdict.ok else CheckFailed(verdict.sentence, where=candidate)
    data = {"original": original, "candidate": candidate, **verdict.to_dict()}
    current().answer(data, lambda console: _page(console, verdict), failed)


def _page(console: Console, verdict: Verdict) -> None:
    from bnfold_cli.tables import table, text

    console.print(text(verdict.sentence, "green" if verdict.ok else "red", 500))
    rows = [
        (
            one.name,
            f"{one.max_abs:.3g}",
            f"{one.max_rel:.3g}",
            f"{one.sqnr_db:.1f}",
            "" if one.top1 is None else f"{one.top1:.2%}",
        )
        for one in verdict.outputs
    ]
    console.print()
    console.print(table(("output", ">max abs", ">max rel", ">SQNR dB", ">argmax agrees"), rows))
    gates = [(gate.name, _word(gate.ok), gate.sentence) for gate in verdict.gates if gate.decides]
    console.print()
    console.print(table(("gate", "", ""), gates))
    if verdict.layers:
        layers = [(one.name, f"{one.error:.3g}", f"{one.ratio:.3g}") for one in verdict.layers]
        console.print()
        console.print(table(("tensor", ">error", ">in units of rounding"), layers))
    for note in verdict.notes:
        console.print(text(f"note: {note}", longest=500))


def _word(ok: bool | None) -> str:
    return "not asked" if ok is None else "holds" if ok else "fails"
