"""What `fold --aggressive` brings: BatchNorms and nodes left, error, latency beside the plain fold.

`python benchmarks/aggressive.py MODEL.onnx... [--one-sign] [--provider cuda] [--batch 1]`
Prints one Markdown row a model; a ratio below 1 means that the aggressive fold is faster.
`--one-sign` first makes every BatchNorm's scale positive, as many trained networks have it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from open_sizes import open_sizes

import bnfold
from bnfold.latency import bench

HEAD = (
    "| model | BatchNorms | plain | aggressive | nodes | nodes | verify | latency ratio | verdict |"
)


def one_signed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with |gamma| in place of gamma."""
    norms = [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    gammas = {n.input[1] for n in norms}
    for tensor in model.graph.initializer:
        if tensor.name in gammas:
            positive = np.abs(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(positive, tensor.name))
    return model


def row(path: Path, given: argparse.Namespace) -> str:
    """One model's row."""
    model = onnx.load(path)
    model = one_signed(model) if given.one_sign else model
    plain = bnfold.fold(model)
    pressed = bnfold.fold(model, bnfold.Options(aggressive=True))
    before, a, b = plain.report.before, plain.report.after, pressed.report.after
    counted = [before.batchnorms, a.batchnorms, b.batchnorms, a.nodes, b.nodes]
    head = [path.stem, *map(str, counted)]
    if a == b:
        return f"| {' | '.join([*head, 'same model', '', ''])} |"
    shapes = {k: (given.batch, *v) for k, v in open_sizes(path).items()}
    verdict = bnfold.verify(model, pressed.model, shapes=shapes)
    timed = bench(
        [plain.model, pressed.model], batches=(given.batch,), shapes=shapes, provider=given.provider
    ).comparisons[0]
    found = timed.estimate
    ratio = f"{found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return f"| {' | '.join([*head, str(verdict.ok), ratio, timed.verdict.value])} |"


def main() -> None:
    """A table of the models named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--one-sign", action="store_true")
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    print(HEAD, "| --- " * 9 + "|", sep="\n")
    for path in given.models:
        print(row(path, given), flush=True)


if __name__ == "__main__":
    main()
