"""Commands that read foreign models run in a process that may be lost.

The native code of onnx aborts, hangs or runs out of memory on some files, and no exception tells.
So the command forks before anything heavy is loaded; the first process waits, hands signals on,
and turns such an end into an error line and an exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from bnfold import child, leftovers
from bnfold.errors import BnfoldError, EnvironmentLacks, ModelError
from bnfold_cli.faults import SIGNALS, Stopped, hold_signals, let_signals_in
from bnfold_cli.session import Session

COMMANDS = frozenset(
    {"fold", "inspect", "verify", "bench", "bisect", "evaluate", "deploy", "check"}
)
# these hold no session in this process; the others may hold one on CUDA, which maps far more
# memory than it fills, and set the limit once they know that it is on the CPU
_LIMITED = frozenset({"fold", "inspect", "verify", "bisect", "deploy"})


def guarded_run(
    session: Session, body: Callable[[], int], tell: Callable[[Session, BnfoldError], int]
) -> int:
    """The exit code of `body`, run in a process of its own; `tell` reports its violent end.

    Signals wait while the process is made: `body` lets them in once it can answer them.
    One of several ranks leaves at once too: what torch's threads still wait for, of ranks that may
    have gone, holds up nobody.
    """
    if session.command == "train" and os.environ.get("WORLD_SIZE", "1") != "1":
        return _ended(body())
    if session.command not in COMMANDS or not hasattr(os, "fork"):
        return body()
    first = os.getpid()
    leftovers.open_ledger()
    hold_signals()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl-C comes once, from the parent
        child.expendable(first)
        if session.command in _LIMITED:
            child.limit_memory()
        return _ended(body())
    status = _waited(pid)
    if status >= 0:
        return status
    leftovers.clear()
    return tell(session, _lost(-status))


def _ended(code: int) -> int:
    """Leave at once: to take a model and all modules apart costs a tenth of a small fold's time.

    Where a stream cannot be flushed, the common way out reports it.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return code
    os._exit(code)


def _waited(pid: int) -> int:
    """The process's exit code, or minus the signal that ended it.

    The first signal is handed on, so that it can clean up; a second one ends it at once, also
    where native code lets it answer none.
    """
    stopped: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if stopped else number)
        stopped.append(number)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    let_signals_in()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return -stopped[0] if code < 0 and stopped else code


def _lost(number: int) -> BnfoldError:
    if number in SIGNALS:
        return Stopped(number).error()
    if number == signal.SIGKILL:
        return EnvironmentLacks("the system ended the command, as it does when memory runs out")
    if number == signal.SIGALRM:
        return ModelError(
            "native code gives no answer within its time on this model: it is damaged or made to"
            " keep readers busy",
        )
    return ModelError(
        f"native code ended with {child.ending(-number)} on this model: it is damaged"
    )
