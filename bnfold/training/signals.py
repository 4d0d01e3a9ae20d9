"""SIGINT, SIGTERM, SIGUSR1 (of Slurm): finish the step and save; a second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bnfold.errors import BnfoldError

DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(BnfoldError):
    """SIGINT, after the run was saved: exit 130."""

    exit_code = 130
    code = "interrupted"


class Terminated(Interrupted):
    """SIGTERM or SIGUSR1, after the run was saved: exit 143."""

    exit_code = 143
    code = "terminated"


class Stop:
    """Whether a signal asked to stop; `check` it between steps."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def receive(self, number: int, _: FrameType | None) -> None:
        """Note the signal; at the second one give up waiting for the step."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def error(self, where: str, hint: str) -> Interrupted:
        """The exception that says so."""
        kind = Interrupted if self.signal == signal.SIGINT else Terminated
        name = signal.Signals(self.signal or signal.SIGINT).name
        return kind(f"stopped by {name}, the run is saved", where=where, hint=hint)


@contextmanager
def deferred() -> Iterator[Stop]:
    """Defer the signals to `Stop` in the main thread; the old handlers come back in any case."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.getsignal(number) for number in DEFERRED}
    try:
        for number in old:
            signal.signal(number, stop.receive)
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
