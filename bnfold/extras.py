"""Modules that an extra brings: loaded when asked for, their absence told in one line."""

from __future__ import annotations

import importlib
from types import ModuleType

from bnfold.errors import EnvironmentLacks


def require(module: str, extra: str) -> ModuleType:
    """Import a module that the extra brings, itself or through what it imports.

    Raises:
        EnvironmentLacks: it, or something that it needs, is not installed or does not load.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as cause:  # OSError: a shared library of it is missing
        lacking = (getattr(cause, "name", None) or module).partition(".")[0]
        if lacking in ("bnfold", "bnfold_models"):
            raise  # ours: a bug, not a missing package
        absent = isinstance(cause, ModuleNotFoundError)
        what = f"{lacking} is not installed" if absent else f"{lacking} does not load: {cause}"
        raise EnvironmentLacks(what, hint=f"pip install 'bnfold[{extra}]'") from cause
