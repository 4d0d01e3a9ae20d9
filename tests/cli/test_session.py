"""How answers look: colours, quiet, JSON without NaN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bnfold_cli.session import Session
from tests.cli.conftest import Answer

Call = Callable[..., Answer]


def test_json_has_no_nan(capsys) -> None:  # type: ignore[no-untyped-def]
    Session("verify").tell({"worst": float("nan"), "all": (1.5, float("inf")), "schema": "other"})
    out = capsys.readouterr().out
    assert '"worst": "nan"' in out
    assert '"inf"' in out
    assert '"schema": "bnfold.verify/1"' in out


def test_quiet_prints_nothing(bnfold: Call, model: Path) -> None:
    answer = bnfold("-q", "inspect", model)
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_colours(bnfold: Call, model: Path) -> None:
    assert "\x1b[" not in bnfold("inspect", model).out
    assert "\x1b[" in bnfold("--color", "always", "inspect", model).out
    assert "\x1b[" in bnfold("--color", "always", "inspect", "none.onnx").err


def test_library_warnings_go_to_stderr(bnfold: Call, model: Path) -> None:
    answer = bnfold("inspect", "--json", model)
    assert answer.json["before"]["batchnorms"] == 1
