"""How this process treats memory that it has freed."""

from __future__ import annotations

import gc
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def collect_seldom() -> None:
    """Look for unreachable cycles after 50,000 new objects, not after 700.

    Imports and a fold make many objects that stay, and hardly a cycle: looking through them over
    and over took a tenth of the time of a whole `bnfold fold`.
    """
    gc.set_threshold(50_000, 20, 20)


def keep_freed() -> None:
    """Keep what is freed for the next array, rather than give it back page by page.

    A fold makes and drops arrays of megabytes, and new pages are slow: 100 MB of weights fold in
    1.1 s with this, in 2.0 s without. Only glibc is asked; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, 1 << 30)
