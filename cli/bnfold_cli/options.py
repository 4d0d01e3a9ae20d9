"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bnfold_cli.session import Session

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Shapes = dict[str, tuple[int, ...]]


def json_option(function: Decorated) -> Decorated:
    """`--json`: one object on stdout."""

    def note(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        session = ctx.find_object(Session)
        if session and value:
            session.json = True

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=note,
        help="Print one JSON object on stdout, and nothing else there.",
    )(function)


def read_batches(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    """`1,4`: whole numbers from 1 on."""
    if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", value):
        raise click.BadParameter(f"'{value}' is not whole numbers from 1 on, like 1,4")
    return tuple(int(word) for word in value.split(","))


def sizes(text: str) -> tuple[int, ...]:
    """`3x224x224` or `3,224,224`.

    Raises:
        BadParameter: no sizes.
    """
    if not re.fullmatch(r"\d{1,9}([x,]\d{1,9})*", text):
        raise click.BadParameter(f"'{text}' is not sizes like 3x224x224")
    return tuple(int(word) for word in re.split("[x,]", text))


def read_shapes(
    _: click.Context | None, __: click.Parameter | None, values: tuple[str, ...]
) -> Shapes:
    """`NAME=3x224x224` for an input, `NAME=128` for one or for a symbolic size."""
    found: Shapes = {}
    for value in values:
        name, equals, text = value.rpartition("=")
        if not (name and equals):
            raise click.BadParameter(f"'{value}' is not NAME=DIMS, like image=3x224x224")
        found[name] = sizes(text)
    return found


shape_option = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=DIMS",
    callback=read_shapes,
    help="Sizes of an input, or of one symbolic size: image=3x224x224, tokens=128.",
)
aggressive_option = click.option(
    "--aggressive",
    is_flag=True,
    help="Also turn Relu into Max, and rescale trunks, where a BatchNorm goes by it.",
)
provider_option = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What ONNX Runtime runs on.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all that is random."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where torch computes.",
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 86_400),
    default=40,
    show_default=True,
    metavar="SECONDS",
    help="The most that ONNX Runtime may take to load or first run a model.",
)


def batch_option(batches: str) -> Callable[[Decorated], Decorated]:
    """`--batch` with its default."""
    return click.option(
        "--batch",
        "batches",
        callback=read_batches,
        default=batches,
        show_default=True,
        metavar="N[,N]",
        help="Batch sizes.",
    )


def running(batches: str) -> Callable[[Decorated], Decorated]:
    """Options of what runs models: --batch, --shape, --provider, --seed, --timeout."""

    def decorate(function: Decorated) -> Decorated:
        batch = batch_option(batches)
        for option in (timeout_option, seed_option, provider_option, shape_option, batch):
            function = option(function)
        return function

    return decorate
