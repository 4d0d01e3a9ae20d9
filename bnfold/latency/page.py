"""A report as one HTML file that needs nothing else: verdicts, intervals, distributions, rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from bnfold.latency.estimate import Floats, Verdict
from bnfold.latency.report import BenchReport, Comparison, Row
from bnfold.latency.table import COLUMNS, conditions
from bnfold.show import show

WIDTH, LABEL, LINE, BINS = 960, 320, 44, 80
COLORS = {
    Verdict.FASTER: "#1a7f37",
    Verdict.SLOWER: "#cf222e",
    Verdict.NO_DIFFERENCE: "#57606a",
    Verdict.INCONCLUSIVE: "#9a6700",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em;
  color: #1f2328; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: .3em .6em; text-align: right; border-bottom: 1px solid #d0d7de; }
td { white-space: nowrap; } th { vertical-align: bottom; }
td:nth-child(2), th:nth-child(2) { text-align: left; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } text { font: 12px system-ui, sans-serif; fill: #1f2328; }
li { margin: .3em 0; } .note { color: #57606a; font-size: 13px; }
"""


def html(report: BenchReport) -> str:
    """The page; every name out of a model is escaped."""
    parts = [
        f"<h1>{_safe(_title(report))}</h1>",
        f"<ul>{''.join(map(_told, report.comparisons))}</ul>",
    ]
    for control in report.controls:
        rows = [row for row in report.rows if row.case == control.case]
        found = [c for c in report.comparisons if c.case == control.case]
        parts.append(f"<h2>{_safe(control.case.capitalize())}</h2>")
        parts.append(f'<p class="note">{_safe(control.sentence)}</p>')
        if found:
            note = "Time over that of the first model, 99 % intervals; grey: no claim is made here"
            parts += [f'<p class="note">{note}</p>', _intervals(found, control.floor)]
        parts += [
            '<p class="note">Runs, ms; red is the median; the slowest lie beyond the axis</p>',
            _distributions(rows),
        ]
    parts += ["<h2>Rows</h2>", _table(report.rows), "<h2>Conditions</h2>"]
    parts += [f'<p class="note">{_safe(line)}</p>' for line in conditions(report)]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
    head += f"<title>bnfold bench</title><style>{STYLE}</style>"
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _safe(text: object) -> str:
    return escape(show(text, 400))


def _title(report: BenchReport) -> str:
    headline = report.headline
    if headline is None:
        return f"Latency of {report.rows[0].label}: {report.verdict.value}"
    return f"{headline.other} beside {headline.base}: {headline.verdict.value}"


def _told(comparison: Comparison) -> str:
    said = f"{comparison.case}, {comparison.other}: {comparison.sentence}"
    return f'<li style="color:{COLORS[comparison.verdict]}">{_safe(said)}</li>'


def _scale(low: float, high: float, value: float) -> float:
    """`value` as an x position of the drawing."""
    share = (value - low) / (high - low) if high > low else 0.5
    return LABEL + (WIDTH - LABEL - 20) * min(max(share, 0.0), 1.0)


def _svg(lines: int, body: Sequence[str]) -> str:
    height = lines * LINE + 24
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(body)}</svg>'


def _text(x: float, y: float, text: object, anchor: str = "end") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}"/>'


def _axis(low: float, high: float, y: float) -> list[str]:
    return [_text(_scale(low, high, t), y, f"{t:.6g}", "middle") for t in _ticks(low, high)]


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers between `low` and `high`."""
    if not high > low:
        return [low]
    power = 10 ** math.floor(math.log10((high - low) / 4))
    step = max(s * power for s in (1, 2, 5) if s * power <= (high - low) / 4)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def _intervals(found: Sequence[Comparison], floor: float | None) -> str:
    """A point and its interval a comparison, 1 as a line, the floor as a band."""
    edge = 1 + (floor or 0.03)
    low = min([1 / edge, *(c.estimate.low for c in found)]) * 0.98
    high = max([edge, *(c.estimate.high for c in found)]) * 1.02
    left, right = _scale(low, high, 1 / edge), _scale(low, high, edge)
    height = len(found) * LINE
    band = (
        f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{height}" fill="#eaeef2"/>'
    )
    one = _scale(low, high, 1)
    body = [band, _line(one, 0, one, height, "#8c959f")]
    for place, comparison in enumerate(found):
        y, color = (place + 0.5) * LINE, COLORS[comparison.verdict]
        spot = comparison.estimate
        ends = (_scale(low, high, spot.low), _scale(low, high, spot.high))
        center = f'cx="{_scale(low, high, spot.ratio):.1f}" cy="{y:.1f}"'
        body += [
            _text(LABEL - 12, y + 4, show(comparison.other, 48)),
            _line(ends[0], y, ends[1], y, color, 3),
            f'<circle {center} r="5" fill="{color}"/>',
        ]
    return _svg(len(found), [*body, *_axis(low, high, height + 16)])


def _distributions(rows: Sequence[Row]) -> str:
    """A histogram a row on one axis; what others on the machine drew out lies beyond its end."""
    pooled = [np.concatenate([np.asarray(runs) for runs in row.wall_ms]) for row in rows]
    low = min(float(runs.min()) for runs in pooled)
    high = max(map(_bulk_end, pooled))
    body: list[str] = []
    for place, (row, runs) in enumerate(zip(rows, pooled, strict=True)):
        foot = (place + 1) * LINE - 4
        median = _scale(low, high, row.median_ms)
        body += [
            _text(LABEL - 12, foot - 12, show(row.label, 48)),
            _bars(runs, low, high, foot),
            _line(median, foot - LINE + 8, median, foot, "#cf222e", 1.5),
        ]
    return _svg(len(rows), [*body, *_axis(low, high, len(rows) * LINE + 16)])


def _bulk_end(runs: Floats) -> float:
    """Where nearly all runs have ended: 98 of 100, or ten times the middle's spread."""
    middle, upper, most = np.quantile(runs, [0.5, 0.75, 0.98])
    return float(min(most, middle + 10 * (upper - middle))) if upper > middle else float(most)


def _bars(runs: Floats, low: float, high: float, foot: float) -> str:
    """One filled path over all bins."""
    edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low, low + 1e-9])
    counts, _ = np.histogram(runs, edges)
    tops = foot - (LINE - 12) * counts / max(int(counts.max()), 1)
    xs = [_scale(low, high, float(edge)) for edge in edges]
    path = [f"M{xs[0]:.1f} {foot}"]
    for left, right, top in zip(xs, xs[1:], tops, strict=False):
        path.append(f"L{left:.1f} {top:.1f}L{right:.1f} {top:.1f}")
    return f'<path d="{"".join(path)}L{xs[-1]:.1f} {foot}Z" fill="#54aeff"/>'


def _table(rows: Sequence[Row]) -> str:
    shown = [c for c in COLUMNS if any(c.cell(row) != "-" for row in rows)]
    head = "".join(f"<th>{_safe(column.name)}</th>" for column in shown)
    lines = ("".join(f"<td>{_safe(column.cell(row))}</td>" for column in shown) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
