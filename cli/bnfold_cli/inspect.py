"""`bnfold inspect`: the verdict on each BatchNorm; writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import bnfold
from bnfold.show import show
from bnfold_cli.memory import collect_seldom, keep_freed
from bnfold_cli.options import aggressive_option, json_option
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console


@click.command(short_help="Say of each BatchNorm whether it folds, and why not")
@click.argument("model", metavar="IN.onnx")
@click.option("--all", "everything", is_flag=True, help="Also constant Mul, Add, Sub and Div.")
@click.option("--freeze-inputs", is_flag=True, help="As `fold` takes it.")
@click.option("--reparam", is_flag=True, help="Also what `fold --reparam` merges, and what not.")
@aggressive_option
@json_option
def command(
    model: str, everything: bool, freeze_inputs: bool, reparam: bool, aggressive: bool
) -> None:
    """Say of each BatchNorm whether it folds, and why not; writes nothing.

    Example: bnfold inspect resnet50.onnx
    """
    collect_seldom()
    keep_freed()
    from bnfold_cli.headline import headline
    from bnfold_cli.report import print_folded, print_makeup, print_merges, print_remaining

    options = bnfold.Options(reparam=reparam, aggressive=aggressive, freeze_inputs=freeze_inputs)
    with bnfold.onnxfile.opened(model) as source:
        report, makeup = bnfold.inspect(source, options), bnfold.onnxfile.makeup(source.model)
    kinds = ("batchnorm", "affine") if everything else ("batchnorm",)

    def page(console: Console) -> None:
        console.print(f"{show(model, 300)}: {headline(report)}")
        print_makeup(console, makeup)
        print_folded(console, report, kinds)
        print_merges(console, report)
        print_remaining(console, report, kinds)

    current().answer({"input": model, **report.to_dict(), "makeup": makeup.to_dict()}, page)
