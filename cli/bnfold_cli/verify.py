"""`bnfold verify`: are two models the same function, up to rounding?"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

import bnfold
from bnfold.errors import CheckFailed
from bnfold.show import show
from bnfold_cli.options import json_option, running
from bnfold_cli.outputs import spare
from bnfold_cli.progress import rounds
from bnfold_cli.session import current

if TYPE_CHECKING:
    from rich.console import Console

    from bnfold import Verdict
    from bnfold.verification import Gate

MOST_LAYERS = 30


def asking(function: Any) -> Any:
    """Options of the question itself, which `bisect` asks as well."""
    options = (
        click.option(
            "--inputs",
            metavar="FILE|FOLDER",
            help="Real inputs: .npz, .npy, a folder of them, of ONNX test sets or of images.",
        ),
        running("1,3"),
        click.option("--rtol", type=click.FloatRange(0), help="With --atol: a fixed tolerance."),
        click.option("--atol", type=click.FloatRange(0), help="With --rtol: a fixed tolerance."),
        click.option(
            "--max-bytes",
            type=click.IntRange(1),
            default=4 << 30,
            show_default=True,
            metavar="N",
            help="The most that a file of inputs may hold.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command(short_help="Are two models equivalent, up to rounding?")
@click.argument("original")
@click.argument("candidate")
@asking
@click.option("--layers", is_flag=True, help="Compare the tensors in between, too.")
@click.option("--metric", metavar="package.module:callable", help="A number of your own for both.")
@click.option("--junit", metavar="FILE", help="Write the gates as JUnit XML.")
@click.option("--report", metavar="FILE.html", help="Write a page with pictures.")
@click.option("--manifest", metavar="FILE", help="Check CANDIDATE's tensors against it first.")
@click.option("--save-inputs", metavar="FILE.npz", help="Write the inputs, for --inputs.")
@json_option
def command(
    original: str,
    candidate: str,
    metric: str | None,
    junit: str | None,
    report: str | None,
    manifest: str | None,
    **asked: Any,
) -> None:
    """Compare CANDIDATE with ORIGINAL on the same inputs; exit 4 where they differ.

    Example: bnfold verify resnet50.onnx resnet50.folded.onnx --batch 1,4
    """
    files = [file for file in (junit, report, asked["save_inputs"]) if file]
    spare(files, filter(None, [asked["inputs"], manifest]), [original, candidate])
    if manifest:
        bnfold.onnxfile.check_manifest(bnfold.onnxfile.read(candidate).model, manifest)
    verdict = bnfold.verify(
        original,
        candidate,
        metric=bnfold.verification.named_metric(metric) if metric else None,
        progress=rounds(current()),
        **asked,
    )
    _write(verdict, junit, report)
    failed = None if verdict.ok else CheckFailed(verdict.sentence, where=candidate)
    data = {"original": original, "candidate": candidate, **verdict.to_dict(), "written": files}
    current().answer(data, lambda console: page(console, verdict, files), failed)


def _write(verdict: Verdict, junit: str | None, report: str | None) -> None:
    """JUnit and the page; annotations where a workflow of GitHub reads them."""
    room = bnfold.verification
    if junit:
        bnfold.onnxfile.write_text(junit, room.junit_xml(verdict))
    if report:
        bnfold.onnxfile.write_text(report, room.html(verdict))
    if os.environ.get("GITHUB_ACTIONS"):  # the runner reads stderr as well as stdout
        print(*room.annotation_lines(verdict), sep="\n", file=sys.stderr)


def page(console: Console, verdict: Verdict, files: list[str]) -> None:
    """The sentence, outputs, gates, tensors, notes."""
    from bnfold_cli.tables import table, text

    console.print(text(verdict.sentence, "green" if verdict.ok else "red", 500))
    heads = ("output", ">max abs", ">max rel", ">ulps", ">SQNR dB", ">cosine", ">top-1", ">top-5",
             ">rtol needed")  # fmt: skip
    rows = [
        (
            one.name,
            f"{one.max_abs:.3g}",
            f"{one.max_rel:.3g}",
            f"{one.ulps:.3g}",
            f"{one.sqnr_db:.1f}",
            f"{one.cosine:.6g}",
            _share(one.top1),
            _share(one.top5),
            f"{one.needed_rtol:.2g}",
        )
        for one in verdict.outputs
    ]
    console.print()
    console.print(table(heads, rows))
    console.print()
    gates = [(one.name, _word(one), text(one.sentence, longest=400)) for one in verdict.gates]
    console.print(table(("gate", "", ""), gates, unbroken=("gate",)))
    if verdict.metric:
        console.print()
        console.print(
            f"metric: {verdict.metric[0]:.6g} original, {verdict.metric[1]:.6g} candidate"
        )
    _layers(console, verdict)
    for note in verdict.notes:
        console.print(text(f"note: {note}", longest=500))
    for file in files:
        console.print(f"wrote {show(file, 300)}")


def _layers(console: Console, verdict: Verdict) -> None:
    """The tensors whose error grows most, and the first that departs."""
    from bnfold_cli.tables import table, text

    if not verdict.layers:
        return
    heads = ("tensor", ">error, u", ">times rounding", ">in a channel", ">growth")
    shown = verdict.layers[:MOST_LAYERS]
    rows = [
        (one.name, *(f"{n:.3g}" for n in (one.error, one.ratio, one.channel, one.growth)))
        for one in shown
    ]
    console.print()
    console.print(table(heads, rows))
    if len(shown) < len(verdict.layers):
        console.print(f"and {len(verdict.layers) - len(shown)} tensors more (--json has all)")
    first = verdict.departs
    if first:
        console.print(text(f"first tensor that departs: '{show(first.name, 200)}'", longest=300))


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _word(gate: Gate) -> str:
    if gate.ok is None:
        return "not asked" if gate.decides else "shown"
    if not gate.decides:
        return "shown"
    return "holds" if gate.ok else "fails"
