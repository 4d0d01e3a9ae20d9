"""`bnfold evaluate`: accuracy, in torch or in ONNX Runtime."""

from __future__ import annotations

import click

import bnfold
from bnfold.show import show
from bnfold_cli.options import device_option, json_option, provider_option
from bnfold_cli.session import current


@click.command(short_help="Held-out accuracy, in torch or ONNX Runtime")
@click.argument("target", metavar="RUN|CHECKPOINT|MODEL.onnx")
@click.option("--data", metavar="NAME|PATH", help="Of a run: what it was trained on by default.")
@click.option(
    "--crops",
    type=click.Choice(["single", "shifted", "shifted-flipped", "googlenet"]),
    default="single",
    show_default=True,
    help="Views of an image, averaged: 1, 9, 18, or of image files 144.",
)
@device_option
@provider_option
@json_option
def command(target: str, data: str | None, crops: str, device: str, provider: str) -> None:
    """Held-out accuracy of a run, a checkpoint or an ONNX file.

    Example: bnfold evaluate runs/digits/model.folded.onnx --data digits
    """
    found = bnfold.evaluate(target, data, crops=crops, device=device, provider=provider)
    line = f"accuracy {found.accuracy:.2%} on {found.count} images of {show(found.data)}"
    if found.crops.number > 1:
        line += f", {found.crops.number} crops each"
    current().answer({"target": target, **found.to_dict()}, lambda console: console.print(line))
