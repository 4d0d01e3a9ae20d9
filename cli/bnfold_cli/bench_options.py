"""The options of `bnfold bench`, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from itertools import product
from typing import Any

import click

from bnfold.errors import UsageError
from bnfold_cli.options import Shapes, batch_option, json_option, seed_option, sizes, timeout_option

MAX_REGRESS = 0.03


@dataclass(frozen=True, slots=True)
class Against:
    """The earlier report to compare with, and how much slower is allowed."""

    baseline: str | None
    max_regress: float
    force: bool


def read_shape_list(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[Shapes]:
    """`NAME=DIMS`, given again for another table; several names make every combination."""
    by_name: dict[str, list[tuple[int, ...]]] = {}
    for value in values:
        name, equals, text = value.rpartition("=")
        if not (name and equals):
            raise click.BadParameter(f"'{value}' is not NAME=DIMS, like image=3x224x224")
        by_name.setdefault(name, []).append(sizes(text))
    return [dict(zip(by_name, dims, strict=True)) for dims in product(*by_name.values())]


def read_share(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """`3%` or `0.03`."""
    if value is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?%|0?\.\d+|0", value):
        raise click.BadParameter(f"'{value}' is not a share like 3% or 0.03")
    return float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)


def read_settings(
    _: click.Context, __: click.Parameter, values: tuple[str, ...]
) -> dict[str, str] | None:
    """`KEY=VALUE`, each once."""
    pairs = [value.partition("=") for value in values]
    for value, (key, equals, _rest) in zip(values, pairs, strict=True):
        if not (key and equals):
            raise click.BadParameter(f"'{value}' is not KEY=VALUE, like use_tf32=0")
    return {key: setting for key, _equals, setting in pairs} or None


def read_page(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A page is HTML; JSON goes to stdout."""
    if value is not None and not value.lower().endswith((".html", ".htm")):
        raise click.BadParameter(f"'{value}' is not FILE.html (JSON: --json > FILE)")
    return value


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    batch_option("1"),
    click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar="NAME=DIMS",
        callback=read_shape_list,
        help="Sizes of an input or symbol; again for another table: x=3x224x224, tokens=128.",
    ),
    click.option(
        "--provider",
        type=click.Choice(["cpu", "cuda", "tensorrt"]),
        default="cpu",
        show_default=True,
        help="What ONNX Runtime runs on.",
    ),
    click.option(
        "--provider-option",
        "provider_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=read_settings,
        help="Passed to the provider, like use_tf32=0; read back and reported.",
    ),
    click.option(
        "--optimization",
        type=click.Choice(["none", "basic", "extended", "all"]),
        default="all",
        show_default=True,
        help="ONNX Runtime's graph optimisation.",
    ),
    click.option(
        "--threads", type=click.IntRange(1), default=1, show_default=True, help="Of a session."
    ),
    click.option("--quick", is_flag=True, help="A few seconds: indicative only."),
    click.option("--baseline", metavar="FILE.json", help="An earlier report (--json) to beat."),
    click.option(
        "--max-regress",
        callback=read_share,
        metavar="SHARE",
        help="With --baseline: exit 4 where proven slower by more than this.  [default: 3%]",
    ),
    click.option(
        "--force", is_flag=True, help="With --baseline: though it is of another machine or setting."
    ),
    click.option(
        "--self-test",
        type=click.IntRange(1),
        metavar="N",
        help="Instead of models: N equal and N unequal pairs, to know this machine's error rates.",
    ),
    click.option("--report", callback=read_page, metavar="FILE.html", help="Write a page there."),
    seed_option,
    timeout_option,
    json_option,
)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """All of them; `baseline`, `max_regress` and `force` arrive as one `against`."""

    @wraps(function)
    def gathered(baseline: str | None, max_regress: float | None, force: bool, **rest: Any) -> Any:
        if baseline is None and (force or max_regress is not None):
            lone = "--force" if force else "--max-regress"
            raise UsageError(f"{lone} goes with --baseline", hint="--baseline results.json")
        share = MAX_REGRESS if max_regress is None else max_regress
        function(against=Against(baseline, share, force), **rest)

    wrapped: Callable[..., None] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
