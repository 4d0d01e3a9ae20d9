"""A part of a fold can be done again: the spots to fold are chosen by their label."""

from __future__ import annotations

import onnx

from bnfold.folding.model import fold_in_place
from bnfold.folding.report import Options
from tests.verification import nets


def part(model: onnx.ModelProto, labels: set[str]) -> tuple[onnx.ModelProto, list[str]]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    report = fold_in_place(copy, Options(), lambda spot: spot.label in labels)
    return copy, [one.map for one in report.folded]


def test_the_chosen_spots_fold_and_no_others() -> None:
    model = nets.model(nets.pair().original, norms=True)
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    labels = [one.map for one in fold_in_place(whole, Options()).folded]
    assert len(labels) > 2
    for count in range(len(labels) + 1):
        folded, done = part(model, set(labels[:count]))
        assert done == labels[:count]
        left = sum(node.op_type == "BatchNormalization" for node in folded.graph.node)
        assert left == len(labels) - count
    assert part(model, set(labels))[0] == whole
    assert part(model, set())[0] == model
