"""A verdict as one HTML file that needs nothing else: gates, error per layer, differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bnfold.folding.report import Fold
from bnfold.show import show
from bnfold.verification.verdict import JITTER_LIMIT, Gate, Layer, OutputReport, Verdict

WIDTH, LEFT, HEIGHT = 960, 60, 260
GOOD, BAD, QUIET, INK = "#1a7f37", "#cf222e", "#57606a", "#0969da"
MOST_ROWS = 200
FIRST_ROWS = 12
LONGEST = 56  # characters of a name beside the picture of layers
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
  color: #1f2328; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: .3em .6em; text-align: right; border-bottom: 1px solid #d0d7de; }
th:first-child, td:first-child, td.said, th.said { text-align: left; }
svg { width: 100%; height: auto; } text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.note { color: #57606a; font-size: 13px; }
"""
OUTPUT_HEADS = (
    "output",
    "max abs",
    "max rel",
    "rms rel",
    "ulps",
    "SQNR dB",
    "cosine",
    "top-1",
    "top-5",
    "rtol needed",
)


def html(verdict: Verdict) -> str:
    """The page; every name out of a model is escaped."""
    color = GOOD if verdict.ok else BAD
    parts = [
        f'<h1 style="color:{color}">{_safe(verdict.sentence)}</h1>',
        f'<p class="note">{_safe(_setting(verdict))}</p>',
        "<h2>Gates</h2>",
        _gates(verdict.gates),
    ]
    if verdict.layers:
        said = (
            "Each tensor's departure in float64, times what rounding the weights does to it; its"
            " worst channel's by the scale of the limits"
        )
        parts += ["<h2>Error per layer</h2>", f'<p class="note">{said}; log scale</p>']
        parts += [_layer_picture(verdict.layers), _layer_table(verdict.layers)]
    if verdict.histogram:
        said = "|candidate - original| over the output's rms in ONNX Runtime, optimisation off"
        parts += ["<h2>Differences</h2>", f'<p class="note">{said}; counts on a log scale</p>']
        parts.append(_histogram(verdict.histogram))
    heads = "".join(f"<th>{head}</th>" for head in OUTPUT_HEADS)
    rows = "".join(_output(report) for report in verdict.outputs)
    parts += ["<h2>Outputs, worst over all inputs</h2>", f"<table><tr>{heads}</tr>{rows}</table>"]
    if verdict.folds:
        parts += ["<h2>Folds</h2>", _folds(verdict.folds)]
    parts += [f'<p class="note">note: {_safe(note)}</p>' for note in verdict.notes]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>bnfold verify</title><style>{STYLE}</style>"
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _safe(text: object) -> str:
    return escape(show(text, 400), quote=True)


def _setting(verdict: Verdict) -> str:
    metric = ""
    if verdict.metric is not None:
        metric = f"; metric {verdict.metric[0]:.6g} and {verdict.metric[1]:.6g}"
    return (
        f"{verdict.original} and {verdict.candidate} on {verdict.provider}, seed {verdict.seed};"
        f" inputs: {', '.join(verdict.inputs)}{metric}"
    )


def _gates(gates: Sequence[Gate]) -> str:
    rows = "".join(_gate(gate) for gate in gates)
    return f"<table><tr><th>gate</th><th>value</th><th>limit</th><th></th></tr>{rows}</table>"


def _gate(gate: Gate) -> str:
    color = QUIET if gate.ok is None or not gate.decides else GOOD if gate.ok else BAD
    limit = "" if gate.limit is None else f"{gate.limit:g}"
    return (
        f'<tr style="color:{color}"><td>{_safe(gate.name)}</td><td>{_number(gate.value)}</td>'
        f'<td>{limit}</td><td class="said">{_safe(gate.sentence)}</td></tr>'
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _fine(value: float | None) -> str:
    """Six digits: a cosine or a share next to 1 is not 1."""
    return "" if value is None else f"{value:.6g}"


def _output(report: OutputReport) -> str:
    numbers = (
        report.max_abs,
        report.max_rel,
        report.rms_rel,
        report.ulps,
        report.sqnr_db,
        report.cosine,
        report.top1,
        report.top5,
        report.needed_rtol,
    )
    cells = "".join(f"<td>{_fine(number)}</td>" for number in numbers)
    return f"<tr><td>{_safe(report.name)}</td>{cells}</tr>"


def _folds(folds: Sequence[Fold]) -> str:
    """What was folded where, as folding the original again reports it."""
    rows = "".join(
        f'<tr><td>{_safe(one.map)}</td><td class="said">{_safe(one.outcome)}</td>'
        f'<td class="said">{_safe(", ".join(one.absorbed_by))}</td><td>{len(one.through)}</td></tr>'
        for one in folds
    )
    heads = '<th>map</th><th class="said">how</th><th class="said">into</th><th>crossed</th>'
    body = f"<table><tr>{heads}</tr>{rows}</table>"
    return f"<details><summary>{len(folds)} folds</summary>{body}</details>"


def _decade(value: float) -> float:
    """log10, infinite and tiny values at the ends of the drawing."""
    return math.log10(min(max(value, 1e-3), 1e9))


def _layer_picture(layers: Sequence[Layer]) -> str:
    """A dot a tensor, in the graph's order; the limit as a line, channels in its measure."""
    ordered = sorted(layers, key=lambda layer: layer.position)
    heights = [_decade(layer.excess * JITTER_LIMIT) for layer in ordered]
    top, low = max(2.0, *heights) + 0.5, min(-1.0, *heights) - 0.3

    def y_of(decade: float) -> float:
        return HEIGHT - 20 - (decade - low) / (top - low) * (HEIGHT - 44)

    body = [_tick(y_of(k), f"1e{k}") for k in range(math.ceil(low), math.floor(top) + 1)]
    limit = y_of(math.log10(JITTER_LIMIT))
    body.append(_line(LEFT, limit, WIDTH, limit, BAD))
    body.append(
        f'<text x="{WIDTH - 4}" y="{limit - 5:.1f}" text-anchor="end">limit {JITTER_LIMIT:g}</text>'
    )
    step = (WIDTH - LEFT - 20) / max(1, len(ordered) - 1)
    for place, layer in enumerate(ordered):
        color = INK if layer.excess <= 1.0 else BAD
        x, y = LEFT + 10 + place * step, y_of(heights[place])
        title = f"<title>{_safe(layer.name)}: {layer.ratio:.3g}</title>"
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}">{title}</circle>')
        if color == BAD and not any(one.excess > 1.0 for one in ordered[:place]):
            body.append(_first(x, layer))
    return _svg(HEIGHT, body)


def _first(x: float, layer: Layer) -> str:
    """An upright where the first tensor departs, its name above all dots; a long one's end."""
    name = show(layer.name)
    if len(name) > LONGEST:
        name = f"...{name[-LONGEST:]}"
    end = x > WIDTH / 2
    place = f'x="{x - 6 if end else x + 6:.1f}" y="12" text-anchor="{"end" if end else "start"}"'
    return f"{_line(x, 2, x, HEIGHT - 20, BAD)}<text {place}>{_safe(name)} departs first</text>"


def _layer_table(layers: Sequence[Layer]) -> str:
    """The largest growth first: where it goes wrong."""
    named = ("tensor", "error, u", "jitter, u", "ratio", "in a channel", "growth")
    heads = "".join(f"<th>{name}</th>" for name in named)
    first = f"<table><tr>{heads}</tr>{_layer_rows(layers[:FIRST_ROWS])}</table>"
    rest = layers[FIRST_ROWS:MOST_ROWS]
    if not rest:
        return first
    more = f"<table><tr>{heads}</tr>{_layer_rows(rest)}</table>"
    said = f"{len(rest)} more of {len(layers)} tensors"
    return f"{first}<details><summary>{said}</summary>{more}</details>"


def _layer_rows(layers: Sequence[Layer]) -> str:
    return "".join(
        f"<tr><td>{_safe(layer.name)}</td><td>{layer.error:.3g}</td><td>{layer.jitter:.3g}</td>"
        f"<td>{layer.ratio:.3g}</td><td>{layer.channel:.3g}</td><td>{layer.growth:.3g}</td></tr>"
        for layer in layers
    )


def _histogram(bins: Sequence[tuple[float, int]]) -> str:
    """A bar a half decade, counts on a log scale; values that are equal stand apart at the left."""
    tallest = math.log1p(max(count for _, count in bins))
    known = [edge for edge, _ in bins if math.isfinite(edge)]
    low, high = (min(known), max(known) + 0.5) if known else (-8.0, -7.0)
    width = (WIDTH - LEFT - 90) / ((high - low) * 2)
    body = []
    for edge, count in bins:
        tall = max(1.0, math.log1p(count) / tallest * (HEIGHT - 50))
        finite = math.isfinite(edge)
        x = LEFT + 80 + (edge - low) * 2 * width if finite else LEFT
        w = width - 2 if finite else 50
        said = f"1e{edge:g}" if finite else "equal"
        title = f"<title>{said}: {count} values</title>"
        body.append(
            f'<rect x="{x:.1f}" y="{HEIGHT - 24 - tall:.1f}" width="{w:.1f}" height="{tall:.1f}"'
            f' fill="{INK if finite else GOOD}">{title}</rect>'
        )
        if not finite or float(edge).is_integer():
            body.append(
                f'<text x="{x + w / 2 if not finite else x:.1f}" y="{HEIGHT - 6}"'
                f' text-anchor="middle">{said}</text>'
            )
    return _svg(HEIGHT, body)


def _svg(height: int, body: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(body)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="1"/>'


def _tick(y: float, text: str) -> str:
    label = f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    return label + _line(LEFT, y, WIDTH, y, "#d0d7de")
