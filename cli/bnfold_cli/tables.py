"""Tables of text that comes out of models: always escaped, never markup."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.table import Table
from rich.text import Text

from bnfold.show import show


def text(value: object, style: str = "", longest: int = 120) -> Text:
    """One escaped piece of text; None is empty."""
    return Text("" if value is None else show(value, longest), style=style)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], unbroken: Collection[str] = ()
) -> Table:
    """A plain table; a column whose header begins with `>` is set to the right.

    Numbers and the columns in `unbroken`, such as paths, are never broken over two lines.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        right = header.startswith(">")
        made.add_column(
            header.removeprefix(">"),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=right or header in unbroken,
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else text(cell) for cell in row))
    return made
