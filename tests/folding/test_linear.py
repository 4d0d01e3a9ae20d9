"""Foreign operators that the user declares linear: a scale crosses, a lie is found out."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

import bnfold
from tests.build import node, value
from tests.net import Net
from tests.oracle import assert_equivalent, batchnorms

DECLARED = bnfold.Options(linear=("test.custom::Double",))
BODIES = {"Double": [node("Add", ["x", "x"], "y")], "Square": [node("Mul", ["x", "x"], "y")]}


def behind(op: str, *, shift: bool = False, push: bool = False) -> onnx.ModelProto:
    """Conv -> foreign -> BatchNorm, or the other way round; its meaning is a local function."""
    body = helper.make_function(
        "test.custom", op, ["x"], ["y"], BODIES[op], [helper.make_opsetid("", 17)]
    )
    net = Net(f"linear-{op}", extra_opsets=[("test.custom", 1)], functions=[body])
    x = net.input((2, 3, 6, 6))
    if push:
        y = net.op(op, net.bn(x, 3, shift=shift), domain="test.custom")
        return net.out(value(net.conv(y, 3, 4), (2, 4, 4, 4))).model()
    y = net.op(op, net.conv(x, 3, 4), domain="test.custom")
    return net.out(value(net.bn(y, 4, shift=shift), (2, 4, 4, 4))).model()


@pytest.mark.parametrize("push", [False, True])
def test_scale_crosses(push: bool) -> None:
    model = behind("Double", push=push)
    assert batchnorms(bnfold.fold(model).model) == 1
    folded = bnfold.fold(model, DECLARED).model
    assert batchnorms(folded) == 0
    assert_equivalent(model, folded)


@pytest.mark.parametrize("push", [False, True])
def test_shift_stays(push: bool) -> None:
    """Of what it makes of a constant nothing is declared."""
    report = bnfold.fold(behind("Double", shift=True, push=push), DECLARED).report
    assert [one.code for one in report.remaining] == ["operator-unknown"]


def test_lie_is_found_out() -> None:
    pytest.importorskip("onnxruntime")
    model = behind("Square")
    folded = bnfold.fold(model, bnfold.Options(linear=("test.custom::Square",))).model
    assert batchnorms(folded) == 0
    assert not bnfold.verify(model, folded).ok


@pytest.mark.parametrize("name", ["Square", "::Square", "test.custom::", ""])
def test_name_without_domain(name: str) -> None:
    with pytest.raises(bnfold.UsageError, match="does not name a foreign operator"):
        bnfold.fold(behind("Square"), bnfold.Options(linear=(name,)))


def test_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from bnfold.folding import declared

    class Point:
        def load(self) -> tuple[str, ...]:
            return ("test.custom::Double",)

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point()])
    declared._installed.cache_clear()
    assert batchnorms(bnfold.fold(behind("Double")).model) == 0
    declared._installed.cache_clear()
