"""`bnfold deploy`: a folder for the target, with the proof beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import bnfold
from bnfold.show import show
from bnfold_cli.options import (
    Shapes,
    json_option,
    read_batches,
    seed_option,
    shape_option,
    timeout_option,
)
from bnfold_cli.progress import stages
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Deployment


@click.command(short_help="A folder for the target, with the proof beside the model")
@click.argument("model")
@click.option("--to", "folder", required=True, metavar="DIR", help="The folder to write.")
@click.option("--target", metavar="ort:1.18", help="By default the onnxruntime of this machine.")
@click.option("--layout", type=click.Choice(["plain", "triton"]), default="plain")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), default="float32")
@click.option("--quantize", type=click.Choice(["int8"]), help="By ONNX Runtime's quantiser.")
@click.option("--calibration", metavar="DATA", help="Inputs: .npz, .npy, or a folder of them.")
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "tensorrt"]),
    default="cpu",
    show_default=True,
    help="What the target runs on.",
)
@click.option(
    "--batch",
    "batches",
    callback=read_batches,
    default="1,3",
    show_default=True,
    metavar="N[,N]",
    help="Batch sizes of the golden inputs.",
)
@click.option("--freeze-inputs", is_flag=True, help="Take overridable initializers as constants.")
@click.option("--instances", type=click.IntRange(1), default=1, help="Triton: of the model.")
@shape_option
@seed_option
@timeout_option
@json_option
def command(
    model: str,
    folder: str,
    target: str | None,
    layout: str,
    dtype: str,
    quantize: str | None,
    calibration: str | None,
    provider: str,
    batches: tuple[int, ...],
    freeze_inputs: bool,
    instances: int,
    shapes: Shapes,
    seed: int,
    timeout_s: int,
) -> None:
    """Fold MODEL, fit it to the target, verify it, and write it to DIR with golden answers.

    An older deployment in DIR is replaced whole or not at all.

    Example: bnfold deploy resnet50.onnx --to /srv/models/resnet50 --target ort:1.18
    """
    made = bnfold.deploy(
        model,
        folder,
        fold=bnfold.Options(freeze_inputs=freeze_inputs),
        target=target,
        layout=layout,
        dtype=dtype,
        quantize=quantize,
        calibration=calibration,
        provider=provider,
        batches=batches,
        shapes=shapes,
        instances=instances,
        seed=seed,
        timeout_s=timeout_s,
        progress=stages(current()),
    )
    current().answer(made.to_dict(), lambda console: _page(console, made))


def _page(console: Console, made: Deployment) -> None:
    from bnfold_cli.headline import headline

    told = made.manifest
    console.print(f"{show(told['source']['file'], 300)}: {headline(made.report)}")
    console.print(f"verified: {show(made.verdict.sentence, 500)}")
    opset = told["model"]["opsets"].get("ai.onnx")
    console.print(f"for {made.target}: IR {told['model']['ir_version']}, opset {opset}")
    precision = told["precision"]
    if precision["dtype"] != "float32":
        console.print(f"computes in {precision['dtype']}")
    for kept in precision.get("kept_in_float32", ())[:10]:
        console.print(f"kept in float32: {show(kept, 300)}")
    for one in precision.get("agreement", ()):
        top = "" if one["top1"] is None else f"top-1 agrees in {one['top1']:.2%}, "
        console.print(f"output {show(one['output'])}: {top}rms error {one['rms_relative']:.2g}")
    for note in made.notes:
        console.print(f"note: {show(note, 500)}")
    if made.check:
        console.print("the folder passes its own check here")
    console.print(f"wrote {show(made.folder, 300)}: {len(made.files)} files")
