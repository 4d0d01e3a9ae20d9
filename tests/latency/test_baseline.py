"""Against an earlier report: what is proven, what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from bnfold.errors import DataError, EnvironmentLacks, UsageError
from bnfold.latency import (
    Basis,
    BenchReport,
    Comparison,
    Control,
    Estimate,
    Row,
    Verdict,
    compare,
    html,
    markdown,
)
from bnfold.latency.estimate import judge
from bnfold.latency.machine import Machine
from bnfold.latency.optimised import Optimised
from bnfold.latency.rounds import FULL

MACHINE = Machine("cpu", 2, None, 0.1, "Linux-x86_64", "3.11", "2.0", "1.31.1", None)


def row(label="m.onnx", sha="a" * 64, ms=1.0, spread=0.0):
    runs = ms * (1 + spread * np.random.default_rng(0).exponential(size=(40, 10)))
    rounds = tuple(map(tuple, runs.tolist()))
    return Row(
        "batch 1", label, sha, 1, {"x": (1, 3)}, (), ms, ms, None, ms, 400, ms, 1.0, 1e3 / ms,
        None, None, None, 5.0, 2.0, 10.0, None, 1000, 3, Optimised("extended", 4, 0), None,
        rounds, rounds, (),
    )  # fmt: skip


def comparison(base, other, ratio):
    found = Estimate(ratio, ratio * 0.99, ratio * 1.01, 40, 0.0)
    return Comparison(
        "batch 1", 1, base.label, other.label, Basis.WALL, found, 0.03, judge(found, 0.03)
    )


def report(*rows, comparisons=(), floor=0.03, noise=0.01, **changes):
    seen = Estimate(1.0, 1 - noise, 1 + noise, 40, 0.0)
    control = Control("batch 1", 1, Basis.WALL, seen, floor)
    made = BenchReport(
        "0.1", MACHINE, "CPUExecutionProvider", {}, None, None, "all", 1, 0, False, FULL, rows,
        (control,), tuple(comparisons),
    )  # fmt: skip
    return replace(made, **changes)


def damaged(**changes):
    return json.dumps({**report(row()).to_dict(), **changes})


def damaged_runs(rounds):
    told = report(row()).to_dict()["rows"][0]
    return damaged(rows=[{**told, "cpu_ms": rounds}])


@pytest.fixture
def stored(tmp_path):
    def store(made):
        path = tmp_path / "then.json"
        path.write_text(json.dumps(made.to_dict()))
        return path

    return store


@pytest.mark.parametrize(
    ("now_ms", "spread", "ok"),
    [
        pytest.param(1.0, 0.0, True, id="same"),
        pytest.param(0.5, 0.0, True, id="faster"),
        pytest.param(1.02, 0.0, True, id="within-what-is-allowed"),
        pytest.param(1.2, 0.0, False, id="slower"),
        pytest.param(1.2, 0.05, False, id="slower-through-noise"),
    ],
)
def test_stored_runs(stored, now_ms, spread, ok):
    then = stored(report(row(spread=spread)))
    found = compare(report(row(ms=now_ms, spread=spread)), then, max_regress=0.03)
    assert found.ok is ok
    assert found.changes[0].ratio == pytest.approx(now_ms, rel=0.02)
    assert not found.changes[0].side_by_side
    assert json.dumps(found.to_dict())


def test_one_slow_stretch_proves_nothing(stored):
    then = stored(report(row()))
    runs = row(ms=1.2).cpu_ms[:30] + row(ms=1.0).cpu_ms[:10]
    now = replace(row(ms=1.2), cpu_ms=runs, wall_ms=runs)
    assert compare(report(now), then).ok


@pytest.mark.parametrize(
    ("ratio", "ok"),
    [
        pytest.param(1.2, False, id="proven"),
        pytest.param(1.0, True, id="stored-runs-would-accuse-wrongly"),
        pytest.param(1.01, True, id="below-the-floor"),
    ],
)
@pytest.mark.parametrize("order", ["old-new", "new-old", "another-first"])
def test_the_old_file_timed_along_decides(stored, ratio, ok, order):
    """Whatever stands first: the rounds are common to all rows."""
    then = stored(report(row(sha="o" * 64)))
    new, old = row(sha="n" * 64, ms=2.0 * ratio), row("old.onnx", sha="o" * 64, ms=2.0)
    rows = {
        "old-new": [old, new],
        "new-old": [new, old],
        "another-first": [row("x.onnx", sha="x" * 64, ms=2.0), old, new],
    }
    found = compare(report(*rows[order]), then)
    assert found.ok is ok
    assert all(change.side_by_side for change in found.changes)
    assert found.changes[-1].label == "m.onnx"
    assert found.changes[-1].ratio == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("then_labels", "now", "compared"),
    [
        pytest.param(["m.onnx"], ["m.onnx"], ["m.onnx"], id="same-name"),
        pytest.param(["old/m.onnx"], ["new/m.onnx"], ["new/m.onnx"], id="other-folder"),
        pytest.param(["a.onnx"], ["b.onnx"], ["b.onnx"], id="the-only-one-renamed"),
        pytest.param(["a.onnx", "b.onnx"], ["b.onnx", "c.onnx"], ["b.onnx"], id="one-of-two"),
    ],
)
def test_which_rows_are_compared(stored, then_labels, now, compared):
    then = stored(report(*(row(label, sha="o" * 64) for label in then_labels)))
    found = compare(report(*(row(label, sha="n" * 64) for label in now)), then)
    assert [change.label for change in found.changes] == compared


def test_other_sizes_are_another_row(stored):
    then = stored(report(row()))
    with pytest.raises(DataError, match="none of these models"):
        compare(report(replace(row(), shapes={"x": (1, 4)})), then)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"machine": replace(MACHINE, cpu="other")}, id="cpu"),
        pytest.param({"machine": replace(MACHINE, onnxruntime="1.0")}, id="onnxruntime"),
        pytest.param({"threads": 2}, id="threads"),
        pytest.param({"optimization": "none"}, id="optimization"),
    ],
)
def test_another_machine_or_setting_is_refused_unless_forced(stored, changes):
    then = stored(report(row(), **changes))
    with pytest.raises(DataError, match="another machine or setting"):
        compare(report(row()), then)
    assert compare(report(row()), then, force=True).ok


def test_load_and_python_do_not_make_another_machine(stored):
    then = stored(report(row(), machine=replace(MACHINE, load=9.0, python="3.12")))
    assert compare(report(row()), then).ok


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{", "cannot be read", id="not-json"),
        pytest.param("[]", "but list", id="a-list"),
        pytest.param('{"schema": "bnfold.bench/9"}', "but bnfold.bench/9", id="newer-schema"),
        pytest.param('{"schema": "bnfold.bench/1"}', "lacks machine", id="cut-short"),
        pytest.param(damaged(rows=[{}]), "row of the baseline is damaged", id="empty-row"),
        pytest.param(damaged(rows=3), "lacks rows", id="rows-no-list"),
        pytest.param(damaged_runs([["a"]]), "row of the baseline is damaged", id="runs-of-words"),
        pytest.param(damaged_runs([[]]), "row of the baseline is damaged", id="no-run"),
        pytest.param(damaged_runs([[1.0]]), "row of the baseline is damaged", id="one-round"),
    ],
)
def test_a_damaged_baseline(tmp_path, text, says):
    path = tmp_path / "then.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        compare(report(row()), path)
    assert caught.value.where == str(path)


def test_a_missing_baseline(tmp_path):
    with pytest.raises(UsageError, match="no such baseline"):
        compare(report(row()), tmp_path / "none.json")


def test_a_baseline_of_other_models(stored):
    then = stored(report(row(label="other.onnx", sha="b" * 64), row("another.onnx", sha="c" * 64)))
    with pytest.raises(DataError, match="none of these models"):
        compare(report(row()), then)


@pytest.mark.parametrize(
    ("noise", "max_regress", "told"),
    [
        pytest.param(0.04, 0.03, False, id="noise-beyond-what-is-asked"),
        pytest.param(0.04, 0.05, True, id="a-coarser-question"),
        pytest.param(0.02, 0.0, True, id="quiet"),
    ],
)
def test_a_noisy_machine_proves_nothing(stored, noise, max_regress, told):
    now = report(row(), noise=noise)
    if told:
        assert compare(now, stored(report(row())), max_regress=max_regress).ok
        return
    with pytest.raises(EnvironmentLacks) as caught:
        compare(now, stored(report(row())), max_regress=max_regress)
    assert caught.value.exit_code == 5


def test_markdown_names_what_decides():
    a, b = row("a|b.onnx"), row("b.onnx", ms=2.0)
    text = markdown(report(a, b, comparisons=[comparison(a, b, 2.0)]))
    assert "| a\\|b.onnx | batch 1 | 1.000 |" in text
    assert "slower: b.onnx takes 2.000 [1.980, 2.020] of a|b.onnx, wall time" in text
    assert "spinning off" in text
    assert "A/A check: a model beside itself reads 1.000 [0.990, 1.010]" in text
    assert "a difference counts from 3.0% on" in text
    widths = {line.count("|") - line.count("\\|") for line in text.splitlines() if line[:1] == "|"}
    assert len(widths) == 1


@pytest.mark.parametrize(
    ("ratio", "floor", "says"),
    [
        pytest.param(1.01, 0.03, "no difference shown (within 2.0%)", id="tie"),
        pytest.param(2.0, None, "inconclusive", id="noisy"),
        pytest.param(0.5, 0.03, "faster: b takes 0.500 [0.495, 0.505] of a", id="faster"),
    ],
)
def test_sentences(ratio, floor, says):
    found = comparison(row("a"), row("b"), ratio)
    found = replace(found, floor=floor, verdict=judge(found.estimate, floor))
    assert says in found.sentence
    assert (found.verdict is Verdict.INCONCLUSIVE) == (floor is None)


def test_the_page_is_whole_and_names_cannot_break_it():
    bad = "<script>alert(1)</script>\x1b[31m"
    a, b = row(bad, spread=0.1), row("b", ms=2.0, spread=0.1)
    page = html(report(a, b, comparisons=[comparison(a, b, 2.0)]))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert page.count("<svg") == page.count("</svg>") == 2
    ElementTree.fromstring(re.sub("<!doctype html>|<meta [^>]*>", "", page))


def test_a_page_of_equal_runs_draws():
    assert html(report(row())).count("<path") == 1


def test_a_time_below_the_floor_is_called_wrong():
    from bnfold.latency import findings

    made = report(replace(row(ms=0.01), least_ms=0.04))
    assert made.to_dict()["rows"][0]["wrong"].startswith("wrong: m.onnx at 0.0100 ms is below")
    assert "wrong: m.onnx" in findings(made)[-1]
    assert replace(row(ms=0.05), least_ms=0.04).wrong is None
    assert row().wrong is None


def test_the_device_is_told_with_its_clocks_before_and_after():
    clocks = {"name": "H200", "driver": "580", "sm_clock_mhz": "1980", "max_sm_clock_mhz": "1980"}
    here = replace(MACHINE, device=clocks)
    on_cpu = replace(row(), placed={"CUDAExecutionProvider": 9, "CPUExecutionProvider": 2})
    made = report(on_cpu, machine=here, device_after={"sm_clock_mhz": "1755"}, cudnn="9.10.2")
    text = markdown(replace(made, provider="CUDAExecutionProvider"))
    assert "H200, driver 580, cuDNN 9.10.2; SM clock 1980 MHz before, 1755 after" in text
    assert "nodes not on CUDAExecutionProvider: 2 on CPUExecutionProvider" in text
