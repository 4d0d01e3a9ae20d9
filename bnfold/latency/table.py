"""A report as Markdown: rows, verdicts, and what they were measured with."""

from __future__ import annotations

from bnfold.latency.report import BenchReport, Row

HEADS = (
    "model",
    "batch",
    "median ms",
    "p90",
    "p99",
    "min",
    "runs",
    "CPU ms",
    "items/s",
    "first run ms",
    "load ms",
    "peak MiB",
    "file MB",
    "BatchNorms",
    "after ORT: nodes",
    "BatchNorms",
)


def markdown(report: BenchReport) -> str:
    """The whole report, ready for a README or a pull request."""
    lines = [f"| {' | '.join(HEADS)} |", "| --- |" + " ---: |" * (len(HEADS) - 1)]
    lines += [f"| {' | '.join(cells(row))} |" for row in report.rows]
    lines.append("")
    lines += [
        f"- batch {c.batch}, {c.other} against {c.base}: {c.sentence}" for c in report.comparisons
    ]
    lines += ["", *conditions(report)]
    return "\n".join(lines) + "\n"


def cells(row: Row) -> tuple[str, ...]:
    """A row's cells under `HEADS`."""
    after = row.after_runtime
    return (
        row.label.replace("|", "\\|"),
        str(row.batch),
        f"{row.median_ms:.3f}",
        _ms(row.p90_ms),
        _ms(row.p99_ms),
        f"{row.min_ms:.3f}",
        str(row.runs),
        f"{row.cpu_median_ms:.3f}",
        f"{row.throughput:.4g}",
        f"{row.first_run_ms:.2f}",
        f"{row.load_ms:.1f}",
        f"{row.peak_mib:.1f}",
        f"{row.file_bytes / 1e6:.2f}",
        str(row.batchnorms),
        str(after.nodes) if after else "-",
        str(after.batchnorms) if after else "-",
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def conditions(report: BenchReport) -> list[str]:
    """What a reader must know beside the numbers, a sentence a line."""
    machine, design = report.machine, report.design
    quota = "" if machine.quota is None else f" (quota {machine.quota})"
    load = "" if machine.load is None else f", load {machine.load}"
    quick = ", quick: indicative" if report.quick else ""
    floors = [
        f"batch {c.batch}: "
        + ("too noisy to claim anything" if c.floor is None else f"{c.floor:.1%}")
        for c in report.controls
    ]
    said = [
        f"{machine.cpu}, {machine.cores} cores{quota}{load}; ONNX Runtime {machine.onnxruntime}, "
        f"{report.provider}, optimisation {report.optimization}, {report.threads} thread(s), "
        f"spinning {'on' if report.spinning else 'off'}.",
        f"{design.sessions} sets of sessions, {design.rounds} rounds, 2 x {design.runs} runs a "
        f"round and row; 99 % intervals; seed {report.seed}{quick}.",
        f"Smallest effect that may be claimed: {'; '.join(floors)} (a second session of the first "
        f"model ran in the same rounds); judged by {report.controls[0].basis.value}.",
    ]
    if report.provider_options:
        options = ", ".join(f"{k}={v}" for k, v in sorted(report.provider_options.items()))
        said.append(f"Provider options: {options}.")
    return said
