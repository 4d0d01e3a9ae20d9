"""SIGINT, SIGTERM, SIGUSR1 (of Slurm): finish the step and save; a second one stops at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bnfold.errors import BnfoldError

DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# seconds: Ctrl-C reaches a worker from the terminal and from torchrun, and is one wish
ONE_WISH = 1.0


class Interrupted(BnfoldError):
    """SIGINT, after the run was saved: exit 130."""

    exit_code = 130
    code = "interrupted"


class Terminated(Interrupted):
    """SIGTERM or SIGUSR1, after the run was saved: exit 143."""

    exit_code = 143
    code = "terminated"


class Stop:
    """Whether a signal asked to stop: look at `signal` between steps."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.since = 0.0
        self.before: dict[int, Any] = {}

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second one ends the run as it would have without us, at once."""
        now = time.monotonic()
        if self.signal is None:
            self.signal, self.since = number, now
        elif now - self.since >= ONE_WISH:
            signal.signal(number, self.before[number] or signal.SIG_DFL)
            signal.raise_signal(number)

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
    stop.before = {number: signal.getsignal(number) for number in DEFERRED}
    try:
        for number in DEFERRED:
            signal.signal(number, stop.receive)
        yield stop
    finally:
        for held, handler in stop.before.items():
            signal.signal(held, handler if handler is not None else signal.SIG_DFL)
