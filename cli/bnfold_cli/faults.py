"""Errors become one line and an exit code: here and nowhere else."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import click

from bnfold.errors import BnfoldError, EnvironmentLacks, UsageError
from bnfold.show import show
from bnfold_cli.session import PipeClosed, Session, error_entry

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PIPE_CLOSED = 141  # what a shell says of a command that SIGPIPE ended


class Interrupted(BnfoldError):
    """SIGINT: exit 130."""

    exit_code = 130
    code = "interrupted"


class Terminated(BnfoldError):
    """SIGTERM: exit 143."""

    exit_code = 143
    code = "terminated"


class Stopped(BaseException):
    """A signal, on its way up; no `except Exception` may hold it, nor click's own handling."""

    def __init__(self, number: int) -> None:
        self.number = number

    def error(self) -> BnfoldError:
        """What is told."""
        if self.number == signal.SIGTERM:
            return Terminated("terminated; nothing is half-written")
        return Interrupted("interrupted; nothing is half-written")


class Bug(BnfoldError):
    """An exception that should not have come this far: exit 1."""


def guarded(session: Session, body: Callable[[], object]) -> int:
    """Run `body`; answers the exit code of `contract.md`'s table, and tells the error."""
    try:
        _catch_signals()
        body()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except PipeClosed:
        _close_stdout()
        return PIPE_CLOSED
    except Stopped as stop:
        return report(session, stop.error())
    except (KeyboardInterrupt, click.Abort):
        return report(session, Stopped(signal.SIGINT).error())
    except BnfoldError as error:
        return report(session, error)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    except click.ClickException as error:
        return report(session, _usage(error))
    except OSError as error:
        long = error.errno == errno.ENAMETOOLONG  # pathlib's questions raise it, and no other
        return report(session, UsageError("a file's name is too long") if long else _bug(error))
    except MemoryError:
        return report(session, EnvironmentLacks("this machine has not enough memory for it"))
    except Exception as error:
        return report(session, _bug(error))
    return 0


def report(session: Session, error: BnfoldError) -> int:
    """The error on stderr, under `--json` also as an object on stdout."""
    try:
        if session.verbosity >= 2 or isinstance(error, Bug):
            print(*traced(error.__cause__ or error), sep="\n", file=sys.stderr)
        color = _painter(session)
        print(f"{color('error:', 31)} {show(error, 1000)}", file=sys.stderr)
        if error.hint:
            print(f"{color('hint:', 36)} {show(error.hint, 1000)}", file=sys.stderr)
        if session.json and not session.told and not _follows(session):
            session.tell({"error": error_entry(error)})
    except (PipeClosed, BrokenPipeError):
        _close_stdout()
    return error.exit_code


def _follows(session: Session) -> bool:
    """Of the processes that train one network, as torchrun starts them, the first one answers."""
    return session.command == "train" and os.environ.get("RANK", "0") != "0"


def traced(error: BaseException) -> list[str]:
    """The traceback's lines; foreign exceptions quote names out of models."""
    text = "".join(traceback.format_exception(error))
    return [show(line, 2000) for line in text.split("\n") if line]


def _usage(error: click.ClickException) -> UsageError:
    """What click itself refuses: a bad option or value, an unknown command."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "bnfold"
    message = error.format_message().rstrip(".")
    return UsageError(message[:1].lower() + message[1:], hint=f"{path} --help")


def _bug(error: Exception) -> Bug:
    bug = Bug(
        f"a bug in bnfold: {type(error).__name__}: {error}",
        hint="please report it, with the lines above and the command",
    )
    bug.__cause__ = error
    return bug


def _painter(session: Session) -> Callable[[str, int], str]:
    colored = session.color == "always" or (
        session.color == "auto" and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    )
    return lambda text, code: f"\x1b[1;{code}m{text}\x1b[0m" if colored else text


def hold_signals() -> None:
    """Let both signals wait, until there is someone to answer them."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def let_signals_in() -> None:
    """Answer them from now on, those that waited first."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _catch_signals() -> None:
    """Both signals unwind the stack, so that temporary files go; a second SIGINT ends at once."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise Stopped(number)

    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a background job of a shell
            signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        pass  # not the main thread: whoever runs us handles them
    let_signals_in()


def _close_stdout() -> None:
    """The reader has gone: what is left in the buffer goes nowhere, without a complaint."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
