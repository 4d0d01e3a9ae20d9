"""What package.module:callable names, looked for in the working folder too."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from bnfold.errors import UsageError


def find(name: str) -> Callable[..., Any]:
    """The callable.

    Raises:
        UsageError: no such module, or nothing callable of this name in it.
    """
    module_name, _, attribute = name.partition(":")
    if module_name.partition(".")[0] in sys.stdlib_module_names:  # a checkpoint may name anything
        raise UsageError(f"'{module_name}' is a module of Python itself", where=name)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, ValueError) as cause:
        raise UsageError(f"cannot import '{module_name}': {cause}", where=name) from cause
    except AttributeError as cause:
        raise UsageError(f"'{module_name}' has no '{attribute}'", where=name) from cause
    if not callable(found):
        raise UsageError(f"'{attribute}' of '{module_name}' is not callable", where=name)
    made: Callable[..., Any] = found
    return made


def accepted(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the keywords that the function takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables do not tell
        return offered
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return offered
    return {key: value for key, value in offered.items() if key in parameters}
