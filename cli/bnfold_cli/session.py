"""What the global options ask for, and the two ways of answering: a page or one JSON object."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from bnfold.errors import BnfoldError
from bnfold.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

Color = Literal["auto", "always", "never"]
PIPE_WIDTH = 120  # columns where stdout is no terminal


@dataclass(slots=True)
class Session:
    """One call of the command. `told`: a JSON object is on stdout already."""

    command: str = "bnfold"
    verbosity: int = 0
    color: Color = "auto"
    json: bool = False
    told: bool = False

    def answer(
        self,
        data: Mapping[str, Any],
        page: Callable[[Console], None] | str,
        failed: BnfoldError | None = None,
    ) -> None:
        """Print the result, as JSON where asked for; then raise `failed`, if a check failed.

        A page that is plain text spares the 40 ms that a console costs.
        """
        if self.json:
            self.tell({**data, **({"error": error_entry(failed)} if failed else {})})
        elif self.verbosity >= 0 or failed:
            write_out(page + "\n" if isinstance(page, str) else self.rendered(page))
        if failed:
            raise failed

    def tell(self, data: Mapping[str, Any]) -> None:
        """The one JSON object."""
        head = {"schema": f"bnfold.{self.command}/1", "bnfold": __version__}
        text = json.dumps({**head, **_plain({**data, **head})}, indent=2, allow_nan=False)
        self.told = True
        write_out(text + "\n")

    def rendered(self, page: Callable[[Console], None]) -> str:
        """The page as text, coloured where the terminal or the user wants it."""
        from rich.console import Console

        colored = self.color == "always" or (
            self.color == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        )
        console = Console(
            file=io.StringIO(),
            force_terminal=colored,
            color_system="standard" if colored else None,
            width=None if sys.stdout.isatty() else PIPE_WIDTH,
            highlight=False,
            markup=False,
            emoji=False,
        )
        page(console)
        file = console.file
        assert isinstance(file, io.StringIO)
        return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())

    @property
    def progress(self) -> bool:
        """May a progress line be drawn: only on a terminal, and not under -q."""
        return self.verbosity >= 0 and sys.stderr.isatty()


def current() -> Session:
    """The session of the command that runs."""
    session = click.get_current_context().find_object(Session)
    assert session is not None
    return session


def error_entry(error: BnfoldError) -> dict[str, Any]:
    """An error as `--json` prints it."""
    return {
        "code": error.code,
        "exit": error.exit_code,
        "message": str(error),
        "hint": error.hint,
    }


class PipeClosed(BaseException):
    """Nobody reads stdout any more; click would make it exit 1."""


def write_out(text: str) -> None:
    """Write to stdout at once, so that a closed pipe shows here."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise PipeClosed from None


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
