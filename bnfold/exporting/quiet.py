"""Silence around torch's exporter, which prints progress, warnings and log lines of its own."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

LOGGERS = ("torch", "onnxscript", "onnx_ir", "onnx")


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing below an error reaches stdout, stderr or the log; all as before afterwards."""
    levels = {logger: logger.level for logger in _loggers()}
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _loggers() -> list[logging.Logger]:
    """The exporter's loggers that there are, and the roots of those to come."""
    known = logging.root.manager.loggerDict
    children = [name for name in known if name.partition(".")[0] in LOGGERS]
    return [logging.getLogger(name) for name in dict.fromkeys([*LOGGERS, *children])]
