"""`bnfold export`: a trained network as ONNX, its BatchNorms intact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bnfold
from bnfold.errors import CheckFailed, UsageError
from bnfold.show import show
from bnfold_cli.options import json_option, seed_option, sizes
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import FoldResult, Verdict


def _shape(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    return None if value is None else sizes(value)


def _normalize(
    _: click.Context, __: click.Parameter, value: str | None
) -> tuple[list[float], list[float]] | None:
    if value is None:
        return None
    try:
        mean, std = ([float(word) for word in half.split(":")] for half in value.split(","))
    except ValueError:
        raise click.BadParameter(f"'{value}' is not MEAN,STD, like 0.13,0.31") from None
    return mean, std


@click.command(short_help="A trained network as ONNX, BatchNorms intact")
@click.argument(
    "sources", metavar="RUN|CHECKPOINT|package.module:callable", nargs=-1, required=True
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="Of several runs or checkpoints: the mean of their class probabilities, in one graph.",
)
@click.option("-o", "--output", metavar="OUT.onnx", help="Default: RUN/model.onnx.")
@click.option("--fold", "folded", is_flag=True, help="Fold the BatchNorms before writing.")
@click.option("--reparam", is_flag=True, help="With --fold: merge linear branches and chains, too.")
@click.option("--verify", is_flag=True, help="With --fold: fail unless the fold is equivalent.")
@click.option("--opset", type=click.IntRange(18), default=18, show_default=True)
@click.option(
    "--shape", callback=_shape, metavar="CxHxW", help="Of one input; default: the training data's."
)
@click.option("--weights", metavar="FILE", help="Of a named network: .safetensors, a state dict.")
@click.option(
    "--classes",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Of a named network.",
)
@click.option(
    "--normalize",
    callback=_normalize,
    metavar="MEAN,STD",
    help="Put (x - mean) / std in front: 0.13,0.31; one a channel as .48:.46:.41,.23:.22:.22",
)
@click.option("--dtype", type=click.Choice(["float32", "float16"]), help="Of the whole graph.")
@seed_option
@json_option
def command(
    sources: tuple[str, ...],
    ensemble: bool,
    output: str | None,
    folded: bool,
    reparam: bool,
    verify: bool,
    opset: int,
    shape: tuple[int, ...] | None,
    seed: int,
    **form: Any,
) -> None:
    """Export a trained network to ONNX; what is written was compared with torch.

    Example: bnfold export runs/mnist -o mnist.onnx --fold --verify
    """
    if reparam and not folded:
        raise UsageError("--reparam is a way to fold", hint="--fold --reparam")
    network = _network(sources, ensemble, form["weights"])
    target = _target(sources, output)
    bnfold.onnxfile.check_writable(target)
    model = bnfold.export(network, shape, opset=opset, seed=seed, **form)
    result = bnfold.fold(model, bnfold.Options(reparam=reparam)) if folded else None
    verdict = bnfold.verify(model, result.model, seed=seed) if result and verify else None
    failed = None
    if verdict and not verdict.ok:
        failed = CheckFailed(verdict.sentence, where=sources[0])
    written = [] if failed else bnfold.onnxfile.write(result.model if result else model, target)
    data = _data(sources, [str(path) for path in written], result, verdict)

    def page(console: Console) -> None:
        from bnfold_cli.headline import headline
        from bnfold_cli.report import print_remaining

        console.print("equals the torch network on the same inputs")
        if result:
            console.print(headline(result.report))
            print_remaining(console, result.report, ("batchnorm",))
        if verdict:
            console.print(f"verified: {show(verdict.sentence, 500)}")
        for path in written:
            console.print(f"wrote {show(path, 300)}")

    current().answer(data, page, failed)


def _network(sources: tuple[str, ...], ensemble: bool, weights: str | None) -> Any:
    """What `bnfold.export` takes: the name or folder itself, or the ensemble of them."""
    if not ensemble:
        if len(sources) > 1:
            raise UsageError("several networks at once", hint="--ensemble, or one after another")
        return sources[0]
    if weights:
        raise UsageError("--weights is of a named network, --ensemble of runs or checkpoints")
    return bnfold.training.ensemble(sources)


def _target(sources: tuple[str, ...], output: str | None) -> Path:
    if output:
        return Path(output)
    source, *others = sources
    folder = Path(source)
    if others or (folder.is_dir() and not (folder / "config.json").is_file()):
        raise UsageError("say where to write", where=show(source, 300), hint="-o OUT.onnx")
    if not folder.is_dir():
        named = ":" in source
        what = "say where to write" if named else "no such run or checkpoint folder"
        raise UsageError(what, where=show(source, 300), hint="-o OUT.onnx" if named else None)
    return folder / "model.onnx"


def _data(
    sources: tuple[str, ...], written: list[str], result: FoldResult | None, verdict: Verdict | None
) -> dict[str, Any]:
    return {
        "source": sources[0] if len(sources) == 1 else list(sources),
        "written": written,
        "fold": result.report.to_dict() if result else None,
        "verification": verdict.to_dict() if verdict else None,
    }
