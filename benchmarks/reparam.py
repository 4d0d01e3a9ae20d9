"""Merged on the graph beside merged by timm's own module surgery: counts, and time.

`python benchmarks/reparam.py --work DIR --plain A.onnx ... --surgery A-reparam.onnx ... --time`:
the same networks, exported plainly (BatchNorms kept) and after `timm.utils.reparameterize_model`.
Without --surgery each merged graph is compared with its plainly folded one: nothing may get slower,
and where nothing merged, nothing is timed. A difference counts when a fresh process claims it too.
What is done stays in DIR: a call that was cut off goes on there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import latency
import onnx
import processes
from open_sizes import open_sizes

import bnfold

BESIDE, MERGED = "beside", "merged"


def written(source: Path, other: Path, folder: Path) -> dict[str, Any]:
    """Both files in the folder; what they count, and how much merged."""
    kept = folder / "counts.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        merged = bnfold.fold(source, bnfold.Options(reparam=True))
        beside = bnfold.fold(other).model
        onnx.save(merged.model, folder / f"{MERGED}.onnx")
        onnx.save(beside, folder / f"{BESIDE}.onnx")
        counts = {MERGED: counted(merged.model), BESIDE: counted(beside)}
        kept.write_text(json.dumps({**counts, "merges": len(merged.report.merged)}))
    return dict(json.loads(kept.read_text()))


def counted(model: onnx.ModelProto) -> str:
    """Nodes, Convs and BatchNorms."""
    ops = Counter(n.op_type for n in model.graph.node)
    return f"{len(model.graph.node)} / {ops['Conv']} / {ops['BatchNormalization']}"


def timed(source: Path, folder: Path, given: argparse.Namespace) -> str:
    """The merged file's time over the other one's; noisy ones are measured by the next call."""
    kept = folder / f"time-{given.batch}.txt"
    if not kept.exists():
        told = _measured(source, folder, given)
        if " noisy" in told:
            return told
        kept.write_text(told)
    return kept.read_text()


def _measured(source: Path, folder: Path, given: argparse.Namespace) -> str:
    files = [str(folder / f"{name}.onnx") for name in (BESIDE, MERGED)]
    script = Path(latency.__file__).with_name("same_graph.py")
    command = [sys.executable, str(script), str(given.batch), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    graphs = [json.loads(done.stdout)[file] for file in files]
    if graphs[0]["graph"] == graphs[1]["graph"]:
        return "same graph"
    options: dict[str, Any] = {
        "shapes": open_sizes(source),
        "batches": (given.batch,),
        "rounds": latency.rounds_for(graphs[0]["ms"], 3),
    }
    first = latency.fresh(files, {**options, "seed": 0}).comparisons[0]
    claims = first.verdict in latency.CLAIMS
    again = latency.fresh(files, {**options, "seed": 1}).comparisons[0] if claims else None
    return latency.cell(first, again)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", nargs="+", type=Path, required=True)
    parser.add_argument("--surgery", nargs="*", type=Path, default=[])
    parser.add_argument("--work", type=Path, required=True, help="keeps files and results")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    print(f"{processes.machine()}, batch {given.batch}\n")
    heads = ["model", "merges", "merged: nodes / Convs / BatchNorms", "beside", "ratio of times"]
    print(f"| {' | '.join(heads)} |")
    print("| --- | ---: | --- | --- | --- |")
    for source, other in zip(given.plain, given.surgery or given.plain, strict=True):
        folder = given.work / (f"{source.stem}-surgery" if given.surgery else source.stem)
        try:
            told = written(source, other, folder)
        except bnfold.BnfoldError as error:  # a folder may hold what is no sound model
            print(f"{source.name}: {error}", file=sys.stderr)
            continue
        if not told["merges"]:
            cell = "nothing merged"
        else:
            cell = timed(source, folder, given) if given.time else "-"
        row = [source.stem, told["merges"], told[MERGED], told[BESIDE], cell]
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
