"""`bnfold fold`: fold every BatchNorm that can be folded exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bnfold
from bnfold.errors import CheckFailed, UsageError
from bnfold.show import show
from bnfold_cli.memory import collect_seldom, keep_freed
from bnfold_cli.options import aggressive_option, json_option
from bnfold_cli.outputs import spare
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import FoldReport, FoldResult, Verdict
    from bnfold.onnxfile import ModelFile


ALL = -1


def _read_require(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """How many BatchNorms must fold at least; `all` is -1."""
    if value is None or value == "all":
        return ALL if value else None
    if not value.isdecimal() or len(value) > 9:
        raise click.BadParameter(f"'{value}' is neither 'all' nor a whole number")
    return int(value)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    target: Path | None
    require: int | None
    verify: bool
    report: str | None
    manifest: str | None


@click.command(short_help="Fold every BatchNorm that folds exactly")
@click.argument("model", metavar="IN.onnx")
@click.option("-o", "--output", metavar="OUT.onnx", help="Default: IN.folded.onnx.")
@click.option("--in-place", is_flag=True, help="Write over the input.")
@click.option("--dry-run", is_flag=True, help="Fold and check, but write nothing.")
@click.option("--freeze-inputs", is_flag=True, help="Take overridable initializers as constants.")
@click.option("--reparam", is_flag=True, help="Merge linear branches and chains into one, too.")
@aggressive_option
@click.option(
    "--require",
    callback=_read_require,
    metavar="all|N",
    help="Fail if a BatchNorm stays, or fewer than N fold.",
)
@click.option("--verify", is_flag=True, help="Fail unless the folded model is equivalent.")
@click.option("--report", metavar="FILE.json", help="Write the report there too.")
@click.option("--manifest", metavar="FILE", help="Write the SHA-256 of every tensor there.")
@json_option
def command(
    model: str,
    output: str | None,
    in_place: bool,
    dry_run: bool,
    freeze_inputs: bool,
    reparam: bool,
    aggressive: bool,
    require: int | None,
    verify: bool,
    report: str | None,
    manifest: str | None,
) -> None:
    """Fold every BatchNorm of IN.onnx that can be folded exactly.

    A check that is asked for and fails (--require, --verify) writes nothing.

    Example: bnfold fold resnet50.onnx -o resnet50.folded.onnx --verify
    """
    collect_seldom()
    keep_freed()
    target = _target(model, output, in_place=in_place, dry_run=dry_run)
    request = Request(target, require, verify, report, manifest)
    options = bnfold.Options(reparam=reparam, aggressive=aggressive, freeze_inputs=freeze_inputs)
    run(model, options, request)


def run(model: str, options: bnfold.Options, request: Request) -> None:
    """Read, fold, check, write, answer."""
    with bnfold.onnxfile.opened(model) as source:
        _run(model, source, options, request)


def _run(model: str, source: ModelFile, options: bnfold.Options, request: Request) -> None:
    beside = [path for path in (request.report, request.manifest) if path is not None]
    target = [] if request.target is None else [request.target]
    spare([*target, *beside], (), data=source.data_files)
    spare(beside, [model])
    result = bnfold.fold(source, options)
    failed = _shortfall(result.report, request.require)
    verdict = None
    if request.verify and not failed:
        verdict = bnfold.verify(model, result.model)
        failed = None if verdict.ok else CheckFailed(verdict.sentence, where=model)
    data = _data(model, request, result.report, verdict)
    written = [] if failed else _write(source, result, request, data)

    lines = _lines(model, result.report, written, verdict)
    stays = result.report.after.batchnorms > 0

    def page(console: Console) -> None:
        from bnfold_cli.report import print_remaining

        console.print(lines)
        print_remaining(console, result.report, ("batchnorm",))

    current().answer({**data, "written": written}, page if stays else lines, failed)


def _target(model: str, output: str | None, *, in_place: bool, dry_run: bool) -> Path | None:
    """Where the folded model goes: never over the input unless that is asked for."""
    if sum((output is not None, in_place, dry_run)) > 1:
        raise UsageError("-o, --in-place and --dry-run exclude each other")
    if dry_run:
        return None
    source = Path(model)
    if not source.name:  # / or nothing at all
        raise UsageError("this is a folder, not a model file", where=show(source, 300))
    if in_place:
        return source
    stem = source.name.removesuffix(".onnx")
    target = Path(output) if output else source.with_name(f"{stem}.folded.onnx")
    if source.exists() and bnfold.onnxfile.same_file(source, target):
        raise UsageError("the output is the input", where=show(target, 300), hint="--in-place")
    return target


def _shortfall(report: FoldReport, require: int | None) -> CheckFailed | None:
    left = report.after.batchnorms
    gone = report.before.batchnorms - left
    if require == ALL and left:
        return CheckFailed(
            f"{left} of {report.before.batchnorms} BatchNorms stay, --require all allows none",
            hint="the reasons are in the report; nothing was written",
        )
    if require is not None and gone < require:
        return CheckFailed(f"{gone} BatchNorms fold, --require asks for {require}")
    return None


def _data(
    model: str, request: Request, report: FoldReport, verdict: Verdict | None
) -> dict[str, Any]:
    return {
        "input": model,
        "output": str(request.target) if request.target else None,
        **report.to_dict(),
        "verification": verdict.to_dict() if verdict else None,
    }


def _write(
    source: ModelFile, result: FoldResult, request: Request, data: dict[str, Any]
) -> list[str]:
    """The model, byte for byte the input where nothing folded; then the report and the manifest."""
    written: list[str] = []
    if request.target:
        changed = result.report.changed
        onnxfile = bnfold.onnxfile
        paths = (
            onnxfile.write(result.model, request.target, external=source.external)
            if changed
            else onnxfile.copy(replace(source, model=result.model), request.target)
        )
        written += map(str, paths)
    if request.report:
        head = {"schema": "bnfold.fold/1", "bnfold": bnfold.__version__}
        bnfold.onnxfile.write_text(request.report, json.dumps({**head, **data}, indent=2) + "\n")
        written.append(request.report)
    if request.manifest:
        bnfold.onnxfile.write_manifest(result.model, request.manifest)
        written.append(request.manifest)
    return written


def _lines(model: str, report: FoldReport, written: list[str], verdict: Verdict | None) -> str:
    from bnfold_cli.headline import headline, savings

    lines = [f"{show(model, 300)}: {headline(report)}"]
    if report.merged:
        lines.append(savings(report))
    if verdict:
        lines.append(f"verified: {show(verdict.sentence, 500)}")
    lines += [f"wrote {show(path, 300)}" for path in written] or ["wrote nothing"]
    return "\n".join(lines)
