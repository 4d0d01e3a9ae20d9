"""What the check says: exit codes, a refusal, a finding, the report."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MANIFEST = "manifest.json"
SCHEMA = "bnfold.deployment/1"
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
DONE, USAGE, MODEL, FAILED, LACKS, DATA = 0, 2, 3, 4, 5, 6  # the exit codes of bnfold


class Refused(Exception):
    """The check cannot be made: what, where, what to do, and the exit code."""

    def __init__(self, exit_code: int, message: str, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.message, self.where, self.hint = exit_code, message, where, hint


class Finding(NamedTuple):
    """One question and its answer; `where` names the file, node or output."""

    question: str
    ok: bool
    sentence: str
    where: str = ""


class Report(NamedTuple):
    """What was found. Times in milliseconds; `nodes` counts them by provider."""

    folder: str
    provider: str
    runtime: str
    findings: tuple[Finding, ...]
    nodes: dict[str, int]
    timing: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Everything holds."""
        return all(finding.ok for finding in self.findings)

    @property
    def sentence(self) -> str:
        """The first thing that does not hold, or that all does."""
        failed = [finding for finding in self.findings if not finding.ok]
        if not failed:
            return "everything holds"
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return failed[0].sentence + more

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        findings = [finding._asdict() for finding in self.findings]
        return dict(self._asdict(), ok=self.ok, findings=findings, notes=list(self.notes))


def shown(text: str) -> str:
    """Text out of a folder that may be a stranger's: what a terminal would obey becomes a code."""
    return re.sub(
        "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]",
        lambda found: f"\\u{ord(found.group()):04x}",
        text[:1000],
    )


def line(error: BaseException) -> str:
    """A foreign exception on one line, printable."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", text)
    return re.sub(r"[^\x20-\x7e]", "?", text)[:400]
