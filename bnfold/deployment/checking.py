"""`check` for Python: the smoke test's own code, its refusals as bnfold's exceptions."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bnfold import child
from bnfold.deployment.smoke import command
from bnfold.deployment.smoke.words import PROVIDERS, Refused, Report
from bnfold.errors import (
    BnfoldError,
    CheckFailed,
    DataError,
    EnvironmentLacks,
    ModelError,
    UsageError,
)
from bnfold.leftovers import temporary_folder

_KINDS: dict[int, type[BnfoldError]] = {
    kind.exit_code: kind for kind in (UsageError, ModelError, CheckFailed, EnvironmentLacks)
}
_LONGEST_S = 900.0


def check(
    folder: str | os.PathLike[str], *, provider: str | None = None, runs: int = command.RUNS
) -> Report:
    """The smoke test of a roll-out: hashes, session, nodes, golden answers, latency.

    Raises:
        UsageError: there is no such folder, or no such provider.
        ModelError: ONNX Runtime cannot load the model.
        CheckFailed: the manifest is missing or was changed (all else that fails is in the report).
        EnvironmentLacks: no onnxruntime, no such provider, or a silent fall-back.
        DataError: a damaged manifest or one of another schema, golden data that do not fit.
    """
    if provider is not None and provider not in PROVIDERS:
        raise UsageError(f"unknown provider {provider!r}", hint=f"one of {', '.join(PROVIDERS)}")
    try:
        with temporary_folder() as scratch:
            return command.check(os.fspath(folder), provider or "", runs, _limit, str(scratch))
    except Refused as refused:
        raise _error(refused.exit_code, refused.message, refused.where, refused.hint) from refused


def _limit(provider: str) -> AbstractContextManager[None]:
    """Around each call of ONNX Runtime: in a foreign folder it may never return, or fill memory."""
    if provider == PROVIDERS["cpu"]:
        child.limit_memory()
    return child.native_call()


def check_apart(folder: Path, script: Path, provider: str) -> dict[str, Any]:
    """The folder's own `check.py`, run in a process as the target will run it.

    Raises:
        BnfoldError: what it refused, or CheckFailed where something does not hold.
    """
    words = [sys.executable, "-I", str(script), str(folder), "--json", "--runs", "5"]
    words += ["--provider", provider]
    try:
        with temporary_folder() as scratch:
            done = child.run(words, seconds=_LONGEST_S, scratch=scratch)
    except child.TooSlow as error:
        raise ModelError(f"its check gives {error}") from error
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        how = f"status {done.returncode}: {done.stderr.strip()[-200:]}"
        raise ModelError(f"ONNX Runtime ended with {how} on this model") from error
    if "error" in told:
        entry = told["error"]
        raise _error(entry["exit"], entry["message"], entry["where"], entry["hint"])
    if not told["ok"]:
        failed = [finding for finding in told["findings"] if not finding["ok"]]
        raise CheckFailed(
            f"the deployed folder does not pass its own check: {failed[0]['sentence']}",
            hint="nothing was written",
        )
    return told


def _error(code: int, message: str, where: str, hint: str) -> BnfoldError:
    return _KINDS.get(code, DataError)(message, where=where or None, hint=hint or None)
