"""A report in words: its rows as columns that every page shares, its verdicts, its conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bnfold.latency.report import BenchReport, Row


@dataclass(frozen=True, slots=True)
class Column:
    """A name, and what a row shows under it; `-` where there is nothing to show."""

    name: str
    cell: Callable[[Row], str]


def _maybe(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _after(row: Row, key: str) -> str:
    return "-" if row.after_runtime is None else str(getattr(row.after_runtime, key))


MODEL = Column("model", lambda row: row.label)
CASE = Column("case", lambda row: row.case)
TIMES = (
    MODEL,
    CASE,
    Column("median ms", lambda row: f"{row.median_ms:.3f}"),
    Column("p90", lambda row: _maybe(row.p90_ms, 3)),
    Column("p99", lambda row: _maybe(row.p99_ms, 3)),
    Column("min", lambda row: f"{row.min_ms:.3f}"),
    Column("runs", lambda row: str(row.runs)),
    Column("CPU ms", lambda row: f"{row.cpu_median_ms:.3f}"),
    Column("device ms", lambda row: _maybe(row.device_median_ms, 3)),
    Column("with copies", lambda row: _maybe(row.with_copies_ms, 3)),
    Column("items/s", lambda row: f"{row.throughput:.4g}"),
)
FACTS = (
    MODEL,
    CASE,
    Column("load ms", lambda row: f"{row.load_ms:.1f}"),
    Column("first run ms", lambda row: f"{row.first_run_ms:.2f}"),
    Column("peak MiB", lambda row: f"{row.peak_mib:.1f}"),
    Column("device MiB", lambda row: _maybe(row.device_mib, 1)),
    Column("file MB", lambda row: f"{row.file_bytes / 1e6:.2f}"),
    Column("BNs", lambda row: str(row.batchnorms)),
    Column("BNs left by ORT", lambda row: _after(row, "batchnorms")),
    Column("nodes left by ORT", lambda row: _after(row, "nodes")),
)
COLUMNS = (*TIMES, *FACTS[2:])


def markdown(report: BenchReport) -> str:
    """The whole report, ready for a README or a pull request."""
    lines = [
        f"| {' | '.join(column.name for column in COLUMNS)} |",
        "| --- | --- |" + " ---: |" * (len(COLUMNS) - 2),
    ]
    for row in report.rows:
        cells = [column.cell(row).replace("|", "\\|") for column in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {said}" for said in findings(report)), "", *conditions(report)]
    return "\n".join(lines) + "\n"


def findings(report: BenchReport) -> list[str]:
    """What is found, a sentence a line: of each table its A/A check first."""
    said = []
    for control in report.controls:
        said.append(f"{control.case}, {control.sentence}")
        of_case = [c for c in report.comparisons if c.case == control.case]
        said += [f"{c.case}, {c.other} against {c.base}: {c.sentence}" for c in of_case]
    return said + [f"{row.case}, {row.wrong}" for row in report.rows if row.wrong]


def conditions(report: BenchReport) -> list[str]:
    """What a reader must know beside the numbers, a sentence a line."""
    machine, design = report.machine, report.design
    quota = "" if machine.quota is None else f" (quota {machine.quota})"
    load = "" if machine.load is None else f", load {machine.load}"
    quick = ", quick: indicative" if report.quick else ""
    said = [
        f"{machine.cpu}, {machine.cores} cores{quota}{load}; ONNX Runtime {machine.onnxruntime}, "
        f"{report.provider}, optimisation {report.optimization}, {report.threads} thread(s), "
        f"spinning {'on' if report.spinning else 'off'}.",
        f"{design.sessions} sets of sessions, {design.rounds} rounds, 2 x {design.runs} runs a "
        f"round and row; 99 % intervals; seed {report.seed}{quick}.",
    ]
    if report.provider_options:
        options = ", ".join(f"{k}={v}" for k, v in sorted(report.provider_options.items()))
        said.append(f"Provider options: {options}.")
    return said + _of_device(report)


def _of_device(report: BenchReport) -> list[str]:
    """Driver and clocks before and after; nodes that another provider had to take."""
    said = []
    before, after = report.machine.device, report.device_after or {}
    if before:
        clocks = f"SM clock {before.get('sm_clock_mhz')} MHz before, {after.get('sm_clock_mhz')} "
        said.append(
            f"{before.get('name')}, driver {before.get('driver')}, cuDNN {report.cudnn}; "
            f"{clocks}after, at most {before.get('max_sm_clock_mhz')}."
        )
    for row in report.rows:
        others = {k: n for k, n in (row.placed or {}).items() if k != report.provider}
        if others:
            told = ", ".join(f"{count} on {name}" for name, count in others.items())
            said.append(f"{row.case}, {row.label}: nodes not on {report.provider}: {told}.")
    return said
