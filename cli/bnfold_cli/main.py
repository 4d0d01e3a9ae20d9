"""The entry: global options, the lazy table of commands, exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from bnfold.show import show
from bnfold.version import __version__
from bnfold_cli.faults import guarded, report
from bnfold_cli.guard import guarded_run
from bnfold_cli.session import Color, Session, current

COMMANDS = (
    "quickstart",
    "doctor",
    "train",
    "calibrate",
    "evaluate",
    "export",
    "fold",
    "inspect",
    "verify",
    "bisect",
    "bench",
    "deploy",
    "check",
    "reproduce",
)


class LazyGroup(click.Group):
    """Commands in the order of the road; a command's file is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"bnfold_cli.{cmd_name}"), "command", None)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="bnfold %(version)s")
@click.option("-v", "--verbose", count=True, help="Say more; -vv shows tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours: where stdout is a terminal (auto), always, never.",
)
@click.pass_context
def bnfold(ctx: click.Context, verbose: int, quiet: bool, color: Color) -> None:
    """Train BatchNorm networks, fold them exactly, verify the fold, measure it.

    Example: bnfold fold resnet50.onnx --verify
    """
    session = current()
    session.command = ctx.invoked_subcommand or "bnfold"
    session.verbosity = -1 if quiet else verbose
    session.color = color
    _log(session.verbosity)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the contract's code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    sys.exit(guarded_run(_session(words), lambda: run(words), report))


def _session(arguments: Sequence[str]) -> Session:
    """What can be known of a call before it is parsed, for errors on the way there."""
    session = Session(json="--json" in arguments)
    session.command = next((word for word in arguments if word in COMMANDS), "bnfold")
    return session


def run(arguments: Sequence[str]) -> int:
    """Run one command in this process; answers its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without some character shows its code
            stream.reconfigure(errors="backslashreplace")
    session = _session(arguments)
    logger = logging.getLogger("bnfold")
    level = logger.level
    try:
        return guarded(
            session,
            lambda: bnfold.main(list(arguments), "bnfold", standalone_mode=False, obj=session),
        )
    finally:
        logger.handlers.clear()
        logger.setLevel(level)


class _Safe(logging.Formatter):
    """Log lines quote names out of models: escape them."""

    def format(self, record: logging.LogRecord) -> str:
        """One escaped line, and a traceback where there is one."""
        line = show(record.getMessage(), 2000)
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n{show(one, 2000)}" for one in lines)
        return f"bnfold: {line}"


def _log(verbosity: int) -> None:
    """Library messages go to stderr, more of them with each -v."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Safe())
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    logger = logging.getLogger("bnfold")
    logger.handlers = [handler]
    logger.setLevel(levels.get(verbosity, logging.DEBUG))


if __name__ == "__main__":
    main()
