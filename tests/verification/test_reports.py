"""What users and CI read: JSON, JUnit, annotations, the page, the pytest plugin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import bnfold
from bnfold import testing
from bnfold.verification import annotation_lines, html, junit_xml, verify
from tests.verification import nets

pytest.importorskip("onnxruntime")
HOSTILE = '"><img src=x onerror=alert(1)>\x1b]0;\ud800'


@pytest.fixture(scope="module")
def models():
    found = nets.pair()
    wrong = nets.model(nets.faulty("shift lost", found), norms=False)
    return (
        nets.model(found.original, norms=True),
        nets.model(found.folded, norms=False),
        wrong,
    )


@pytest.fixture(scope="module")
def good(models):
    return verify(models[0], models[1], layers=True)


@pytest.fixture(scope="module")
def bad(models):
    return verify(models[0], models[2], layers=True)


def test_json_holds_plain_data(bad):
    data = json.loads(json.dumps(bad.to_dict(), allow_nan=False))
    assert data["ok"] is False
    assert {gate["name"] for gate in data["gates"]} >= {"certificate", "float64"}
    assert data["outputs"][0]["name"] == "logits"


def test_junit_counts_what_it_lists(good, bad):
    for verdict in (good, bad):
        suite = ElementTree.fromstring(junit_xml(verdict))
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
    assert int(ElementTree.fromstring(junit_xml(good)).get("failures")) == 0
    assert int(ElementTree.fromstring(junit_xml(bad)).get("failures")) >= 1


def test_annotations_are_one_line_each(good, bad):
    assert annotation_lines(good)[0].startswith("::notice title=bnfold verify::equivalent")
    for line in annotation_lines(replace(bad, notes=("a\nb",))):
        assert line.startswith("::error ")
        assert "\n" not in line


class Tags(HTMLParser):
    """Every tag and attribute name of a page."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen |= {tag, *(name for name, _ in attrs)}


def test_the_page_needs_nothing_else_and_runs_nothing(bad):
    layer = replace(bad.layers[0], name=HOSTILE)
    output = replace(bad.outputs[0], name=HOSTILE)
    page = html(replace(bad, layers=(layer, *bad.layers), outputs=(output,), candidate=HOSTILE))
    parser = Tags()
    parser.feed(page)
    assert not parser.seen & {"script", "img", "link", "iframe", "onerror", "href", "src"}
    assert "default-src 'none'" in page
    assert "http:" not in page
    assert "https:" not in page
    page.encode("utf-8")
    assert "\x1b" not in page


def test_the_page_shows_gates_layers_and_differences(good, bad):
    for verdict in (good, bad):
        page = html(verdict)
        assert page.count("<svg") == 2
        assert len(re.findall("<circle", page)) == len(verdict.layers)
        assert verdict.sentence.split(":")[0] in page
    assert "not equivalent" in html(bad)


def test_a_junit_file_of_hostile_names_parses(bad):
    ElementTree.fromstring(junit_xml(replace(bad, candidate=HOSTILE, notes=(HOSTILE,))))


def test_assert_equivalent(models):
    assert testing.assert_equivalent(models[0], models[1]).ok
    with pytest.raises(AssertionError, match="not equivalent"):
        testing.assert_equivalent(models[0], models[2])


def test_assert_folded(models):
    assert testing.assert_folded(bnfold.fold(models[0]).model) == 0
    assert testing.assert_folded(models[0], left=4) == 4
    with pytest.raises(AssertionError, match="4 BatchNormalization nodes are left, 0"):
        testing.assert_folded(models[0].SerializeToString())


def test_the_fixture(bnfold_verify, models):
    assert bnfold_verify(models[0], models[1]).ok


def test_the_plugin_imports_nothing_but_pytest():
    heavy = ["numpy", "onnx", "onnxruntime", "torch", "bnfold.verification", "bnfold.onnxfile"]
    code = f"import bnfold.testing, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
