"""One thread for each test and its child processes: small layers wait more than they compute."""

from __future__ import annotations

import os
import signal

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported


@pytest.fixture(autouse=True)
def signal_handlers() -> None:
    """A command that runs in this process sets its own: each test begins with Python's."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
