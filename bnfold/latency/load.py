"""Another process that loads the machine: arithmetic and memory traffic until it is let go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from bnfold import child

_ELEMENTS = 1 << 22  # 32 MB: past the caches, so that memory is shared as well
_FEW = 1 << 12


@contextmanager
def loaded() -> Iterator[int]:
    """One other process keeps a core busy within the block; its id."""
    pipe = subprocess.PIPE
    other = child.spawn(
        "bnfold.latency.load", memory=None, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()  # it works from now on
        yield other.pid
    finally:
        other.kill()
        other.communicate()


def _work() -> None:
    """For ever: `child` ends it with its parent."""
    wide, few = np.ones(_ELEMENTS), np.ones(_FEW)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        np.add(wide, 1.0, out=wide)
        for _ in range(200):
            np.tanh(few)


if __name__ == "__main__":
    _work()
