"""`check`, and its command line for machines where bnfold is not installed."""

from __future__ import annotations

import json
import os
import sys
import zlib
from typing import Any, Sequence  # noqa: UP035 (Python 3.8)
from zipfile import BadZipFile

from bnfold.deployment.smoke.seal import check_files, check_named, read_manifest, strangers
from bnfold.deployment.smoke.session import Limit, Trial, unlimited
from bnfold.deployment.smoke.words import (
    DATA,
    DONE,
    FAILED,
    PROVIDERS,
    Refused,
    Report,
    line,
    shown,
)

RUNS = 30
# what a sealed manifest, but no good one, or golden arrays that only look like some lead to
_NO_GOOD = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    BadZipFile,
    zlib.error,
)


def check(
    folder: str,
    provider: str = "",
    runs: int = RUNS,
    limit: Limit = unlimited,
    scratch: str | None = None,
) -> Report:
    """Hashes, then the session, who ran each node, the golden answers, and the time.

    `limit` surrounds each call of ONNX Runtime, which may never return; it is told the provider.
    What is temporary lies in `scratch`, by default where the system keeps it.

    Raises:
        Refused: the check cannot be made.
    """
    manifest = read_manifest(folder)
    try:
        asked = PROVIDERS[provider] if provider else str(manifest["runtime"]["provider"])
        findings = check_files(folder, manifest)
        check_named(manifest)
        notes = strangers(folder, manifest)
        if not all(finding.ok for finding in findings):
            return Report(folder, asked, "", tuple(findings), {}, {}, notes)
        with Trial(folder, manifest, asked, limit, scratch) as trial:
            findings += trial.replay()
            findings.append(trial.placed())
            timing = trial.timing(runs)
            return Report(folder, asked, trial.version, tuple(findings), trial.nodes, timing, notes)
    except _NO_GOOD as error:
        what = f"{type(error).__name__} {line(error)}"
        raise Refused(DATA, f"the manifest does not fit: {what}", folder) from error


def lines(report: Report) -> list[str]:
    """The report as one reads it."""
    told = [("ok    " if one.ok else "FAILS ") + one.sentence for one in report.findings]
    told += [f"note  {note}" for note in report.notes]
    if report.timing:
        values: dict[str, Any] = dict(report.timing, on=report.provider, ort=report.runtime)
        told.append(
            "cold start {load_ms:.1f} ms, first run {first_run_ms:.1f} ms, then {median_ms:.3f} ms"
            " (p90 {p90_ms:.3f}) at batch {batch}: {on}, onnxruntime {ort}".format(**values)
        )
    return [shown(one) for one in told]


def junit(report: Report) -> str:
    """One `testsuite`, one case a finding."""
    from xml.etree import ElementTree

    failures = sum(not finding.ok for finding in report.findings)
    counts = {"tests": str(len(report.findings)), "failures": str(failures), "errors": "0"}
    suite = ElementTree.Element("testsuite", {"name": "bnfold check", **counts})
    for one in report.findings:
        names = {"classname": _xml(report.folder), "name": _xml(one.question)}
        case = ElementTree.SubElement(suite, "testcase", names)
        if not one.ok:
            ElementTree.SubElement(case, "failure", {"message": _xml(one.sentence)})
    ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(lines(report)))
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _xml(text: str) -> str:
    return "\n".join(map(shown, text.split("\n"))).replace("\ufffe", "?").replace("\uffff", "?")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python check.py`."""
    asked = _parser().parse_args(arguments)
    tell = _tell_json if asked.json else _tell
    try:
        report = check(asked.folder, asked.provider, max(1, asked.runs))
        if asked.junit:
            with open(asked.junit, "w", encoding="utf-8") as file:
                file.write(junit(report))
    except Refused as error:
        return tell(error)
    except OSError as error:
        return tell(Refused(DATA, f"cannot write: {error.strerror}", str(asked.junit)))
    if asked.json:
        sys.stdout.write(json.dumps({"schema": "bnfold.check/1", **report.to_dict()}, indent=2))
    sys.stdout.write("\n" if asked.json else "\n".join(lines(report)) + "\n")
    if not report.ok:
        sys.stderr.write(f"error: {shown(report.sentence)} ({shown(report.folder)})\n")
    return DONE if report.ok else FAILED


def _parser() -> Any:
    import argparse

    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="Check a deployed model on this machine.")
    parser.add_argument("folder", nargs="?", default=here, help="default: where this file lies")
    parser.add_argument("--provider", choices=list(PROVIDERS), help="default: as deployed")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs to time (30)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML there")
    return parser


def _tell(error: Refused) -> int:
    where = f" ({shown(error.where)})" if error.where else ""
    sys.stderr.write(f"error: {shown(error.message)}{where}\n")
    if error.hint:
        sys.stderr.write(f"hint: {shown(error.hint)}\n")
    return error.exit_code


def _tell_json(error: Refused) -> int:
    entry = {"exit": error.exit_code, "message": error.message, "where": error.where}
    text = json.dumps({"schema": "bnfold.check/1", "error": {**entry, "hint": error.hint}})
    sys.stdout.write(text + "\n")
    return _tell(error)


if __name__ == "__main__":
    sys.exit(main())
