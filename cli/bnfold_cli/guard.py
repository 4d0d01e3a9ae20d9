"""Commands that read foreign models run in a process that may be lost.

The native code of onnx aborts, hangs or runs out of memory on some files, and no exception tells.
So the command forks before anything heavy is loaded; the first process waits, hands signals on,
and turns such an end into an error line and an exit code.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from bnfold import child
from bnfold.errors import BnfoldError, EnvironmentLacks, ModelError
from bnfold_cli.session import Session

COMMANDS = frozenset(
    {"fold", "inspect", "verify", "bench", "bisect", "evaluate", "deploy", "check"}
)
_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def guarded_run(
    session: Session, body: Callable[[], int], tell: Callable[[Session, BnfoldError], int]
) -> int:
    """The exit code of `body`, run in a process of its own; `tell` reports its violent end."""
    if session.command not in COMMANDS or not hasattr(os, "fork"):
        return body()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl-C comes once, from the parent
        child.expendable(memory=session.command != "bench")  # it may use CUDA, which maps much
        return body()
    status = _waited(pid)
    if status >= 0:
        return status
    return tell(session, _lost(-status))


def _waited(pid: int) -> int:
    """The process's exit code, or minus the signal that ended it."""

    def forward(number: int, _: FrameType | None) -> None:
        os.kill(pid, number)

    for number in _FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _lost(number: int) -> BnfoldError:
    if number == signal.SIGKILL:
        return EnvironmentLacks("the system ended the command, as it does when memory runs out")
    if number == signal.SIGALRM:
        return ModelError(
            f"onnx gives no answer within {child.SECONDS:.0f} s on this model: it is damaged"
            " or made to keep readers busy"
        )
    return ModelError(f"onnx ended with {child.ending(-number)} on this model: it is damaged")
