"""A question asked in a fresh process: what crashes, prints or eats memory there stays there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = str(Path(__file__).resolve().parents[2])
_MARK = "bnfold-answer:"


class ChildFailed(Exception):
    """The process ended without an answer; `.args[0]` says how, in one line."""


def ask(module: str, question: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """What `python -m MODULE` answers to `question`.

    Raises:
        ChildFailed: it crashed, ran past `timeout_s`, or answered nothing.
    """
    path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"no answer within {timeout_s:.0f} s") from None
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return answer | {"stderr": done.stderr}
    raise ChildFailed(f"the process ended with status {done.returncode}: {_last(done.stderr)}")


def question() -> dict[str, Any]:
    """In the child: what was asked."""
    asked: dict[str, Any] = json.load(sys.stdin)
    return asked


def answer(reply: dict[str, Any]) -> None:
    """In the child: give the answer."""
    sys.stdout.write(f"\n{_MARK}{json.dumps(reply)}\n")
    sys.stdout.flush()


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"
