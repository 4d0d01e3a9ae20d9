"""Merged on the graph beside merged by timm's own module surgery: counts, and time.

`python benchmarks/reparam.py --plain A.onnx ... --surgery A-reparam.onnx ... [--time]`: the same
networks, exported plainly (BatchNorms kept) and after `timm.utils.reparameterize_model`. Without
--surgery each merged graph is compared with its plainly folded one: nothing may get slower.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import latency
import onnx
from open_sizes import open_sizes

import bnfold


def counted(model: onnx.ModelProto) -> str:
    """Nodes, Convs and BatchNorms."""
    ops = Counter(n.op_type for n in model.graph.node)
    return f"{len(model.graph.node)} / {ops['Conv']} / {ops['BatchNormalization']}"


def timed(files: list[str], source: Path, given: argparse.Namespace) -> str:
    """The second file's time over the first's; a claim is measured again in a fresh process."""
    options = {"shapes": open_sizes(source), "batches": (given.batch,), "quick": given.quick}
    first = latency.fresh(files, {**options, "seed": 0}).comparisons[0]
    claims = first.verdict in latency.CLAIMS
    again = latency.fresh(files, {**options, "seed": 1}).comparisons[0] if claims else None
    return latency.cell(first, again)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", nargs="+", type=Path, required=True)
    parser.add_argument("--surgery", nargs="*", type=Path, default=[])
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    print("| model | merged: nodes / Convs / BatchNorms | beside | merged / beside, time |")
    print("| --- | --- | --- | --- |")
    for i, path in enumerate(given.plain):
        merged = bnfold.fold(path, bnfold.Options(reparam=True)).model
        other = bnfold.fold(given.surgery[i] if given.surgery else path).model
        told = "-"
        if given.time:
            with tempfile.TemporaryDirectory() as folder:
                files = [str(Path(folder) / name) for name in ("beside.onnx", "merged.onnx")]
                for model, file in zip((other, merged), files, strict=True):
                    onnx.save(model, file)
                told = timed(files, path, given)
        print(f"| {path.stem} | {counted(merged)} | {counted(other)} | {told} |", flush=True)


if __name__ == "__main__":
    main()
