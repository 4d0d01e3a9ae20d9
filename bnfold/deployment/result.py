"""What `deploy` answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnfold.folding.report import FoldReport
from bnfold.verification import Verdict


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was written. `check` is what the folder's own check.py said here, if it could run."""

    folder: Path
    files: tuple[str, ...]
    target: str
    verdict: Verdict
    report: FoldReport
    manifest: Mapping[str, Any]
    check: Mapping[str, Any] | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "folder": str(self.folder),
            "files": list(self.files),
            "target": self.target,
            "fold": self.report.to_dict(),
            "verification": self.verdict.to_dict(),
            "precision": self.manifest["precision"],
            "check": None if self.check is None else dict(self.check),
            "notes": list(self.notes),
        }
