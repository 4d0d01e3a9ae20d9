"""Every name in a model is a terminal's sequence, markup or a path; no output obeys one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import onnx
import pytest

from bnfold_cli.main import run
from tests.corpus.test_commands import assert_plain
from tests.deployment.nets import net

EVIL = "\x1b]0;own\x07\x1b[31m\x9b\u202e\u2066[red][/x]<img src=x onerror=1>\"'&\r\n::error::"
REFUSED = ("missing", "unknown option", "no UTF-8, for a runtime")
NOTICE = "::notice title=bnfold verify::"


def _named(path: Path) -> str:
    """A model in which every name, text and path is evil, and the file's own, too."""
    model = onnx.load(net(path.with_name("plain.onnx")))
    path.with_name("plain.onnx").unlink()
    graph = model.graph
    for number, node in enumerate(graph.node):
        node.name = f"{number}{EVIL}"
        node.doc_string = EVIL
        node.input[:] = [name + EVIL for name in node.input]
        node.output[:] = [name + EVIL for name in node.output]
    for one in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        one.name += EVIL
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = EVIL
    graph.name = graph.doc_string = model.doc_string = EVIL
    model.producer_name = model.producer_version = model.domain = EVIL
    model.metadata_props.add(key=EVIL, value=EVIL)
    path.write_bytes(model.SerializeToString())
    return str(path)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return _named(tmp_path / "m\x1b[31m\u202e<b>.onnx")


def _calls(model: str, place: Path) -> dict[str, list[str]]:
    out, bytes_name = str(place / "folded.onnx"), os.fsdecode(bytes(place) + b"/\xff\x1b.onnx")
    shutil.copy(model, bytes_name)
    return {
        "inspect": ["inspect", "--all", model],
        "inspect, json": ["inspect", "--json", model],
        "fold": ["-vv", "fold", model, "-o", out, "--report", str(place / "r.json")],
        "verify": [
            *("verify", model, out, "--layers", "--batch", "1"),
            *("--junit", str(place / "j.xml"), "--report", str(place / "r.html")),
        ],
        "bisect": ["bisect", model],
        "deploy": ["deploy", model, "--to", str(place / "d"), "--batch", "1"],
        "check": ["check", str(place / "d"), "--runs", "1", "--junit", str(place / "c.xml")],
        "no UTF-8": ["inspect", bytes_name],
        "no UTF-8, for a runtime": ["verify", bytes_name, out],
        "missing": ["fold", model + EVIL],
        "unknown option": ["fold", model, f"--{EVIL}"],
        "a symbol as a shape": ["-vv", "verify", model, out, "--shape", f"{EVIL}=1"],
    }


def test_nothing_is_obeyed(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, words in _calls(model, tmp_path).items():
        monkeypatch.setenv("GITHUB_ACTIONS", "true" if name == "verify" else "")
        code = run(words)
        told = capsys.readouterr()
        wanted = 2 if name in REFUSED else 0
        assert code == wanted, (name, told.err)
        lines = told.err.splitlines()
        if name == "verify":
            lines = [line for line in lines if not line.startswith(NOTICE)]
        assert_plain(told.out + "\n".join(lines))
        if "json" in name:
            assert json.loads(told.out)["schema"] == "bnfold.inspect/1"
    for report in ("j.xml", "c.xml"):
        text = (tmp_path / report).read_text("utf-8")
        ElementTree.fromstring(text)
        assert_plain(text)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert_plain(page)
    assert "<img" not in page
    assert "<b>" not in page
    assert json.loads((tmp_path / "r.json").read_text("ascii"))["folded"]
    assert not [path for path in tmp_path.parent.iterdir() if path.name == "own"]


@pytest.mark.slow
def test_nothing_is_obeyed_by_bench(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "--quick", model, model, "--report", str(tmp_path / "b.html")]) == 0
    assert_plain("".join(capsys.readouterr()))
    page = (tmp_path / "b.html").read_text("utf-8")
    assert_plain(page)
    assert "<img" not in page
