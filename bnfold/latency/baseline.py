"""An earlier report as read back from its JSON: whole, of this schema, of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnfold.errors import DataError, UsageError
from bnfold.latency import runtime
from bnfold.latency.machine import Machine, machine
from bnfold.latency.report import SCHEMA
from bnfold.latency.rounds import LEAST_ROUNDS
from bnfold.onnxfile import read_json
from bnfold.show import show

_NEEDED = {"machine": dict, "rows": list, "provider": str, "optimization": str, "threads": int}
_ROW = {"label": str, "sha256": str, "batch": int, "shapes": dict, "disabled": list}
_RUNS = ("wall_ms", "cpu_ms")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What `bench` told then. `rows` are as in its JSON."""

    where: str
    machine: dict[str, Any]
    provider: str
    optimization: str
    threads: int
    rows: tuple[dict[str, Any], ...]

    def refuse_unlike(
        self, *, provider: str, optimization: str, threads: int, here: Machine | None = None
    ) -> None:
        """Nothing, where a report of `here` (this machine) and these settings may stand beside it.

        Raises:
            DataError: it is of another machine or setting.
            EnvironmentLacks: onnxruntime is not installed.
        """
        differs = (here or machine()).same_as(self.machine)
        now = {
            "provider": runtime.provider_name(provider),
            "optimization": optimization,
            "threads": threads,
        }
        differs += [key for key, value in now.items() if getattr(self, key) != value]
        if differs:
            raise DataError(
                f"the baseline is of another machine or setting: {', '.join(differs)}",
                where=self.where,
                hint="measure the old model here, or pass --force",
            )


def read_baseline(path: str | os.PathLike[str]) -> Baseline:
    """The JSON that `bnfold bench --json` printed.

    Raises:
        UsageError: there is no such file.
        DataError: it is damaged, or of another schema.
    """
    where = show(os.fspath(path), 300)
    told = _object(Path(path), where)
    if told.get("schema") != SCHEMA:
        what = f"the baseline is not of schema {SCHEMA}, but {show(told.get('schema'), 60)}"
        raise DataError(what, where=where, hint="write one: bnfold bench MODEL --json")
    lacks = [key for key, kind in _NEEDED.items() if not isinstance(told.get(key), kind)]
    if lacks:
        raise DataError(f"the baseline lacks {', '.join(lacks)}", where=where)
    for row in told["rows"]:
        _check(row, where)
    return Baseline(
        where=where,
        machine=told["machine"],
        provider=told["provider"],
        optimization=told["optimization"],
        threads=told["threads"],
        rows=tuple(told["rows"]),
    )


def _object(path: Path, where: str) -> dict[str, Any]:
    try:
        told = read_json(path)
    except FileNotFoundError:
        raise UsageError("there is no such baseline", where=where) from None
    except IsADirectoryError:
        raise UsageError("the baseline is a folder", where=where) from None
    except (OSError, ValueError) as error:
        raise DataError(f"the baseline cannot be read: {error}", where=where) from error
    if not isinstance(told, dict):
        what = f"the baseline is not of schema {SCHEMA}, but {type(told).__name__}"
        raise DataError(what, where=where, hint="write one: bnfold bench MODEL --json")
    return told


def _check(row: object, where: str) -> None:
    sound = isinstance(row, dict) and all(isinstance(row.get(k), t) for k, t in _ROW.items())
    if not (sound and isinstance(row, dict) and all(_is_runs(row.get(key)) for key in _RUNS)):
        raise DataError("a row of the baseline is damaged", where=where)


def _is_runs(rounds: object) -> bool:
    """Rounds of positive times, as many as `bench` takes at least."""
    if not (isinstance(rounds, list) and len(rounds) >= LEAST_ROUNDS):
        return False
    return all(
        isinstance(runs, list) and runs and all(isinstance(t, int | float) and t > 0 for t in runs)
        for runs in rounds
    )
