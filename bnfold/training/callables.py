"""What package.module:callable names, looked for in the working folder too."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from bnfold.errors import BnfoldError, UsageError

TRACEBACK = "bnfold -vv shows where"


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
    except Exception as cause:  # it runs the user's code
        raise UsageError(f"cannot import '{module_name}': {told(cause)}", where=name) from cause
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as cause:
        raise UsageError(f"'{module_name}' has no '{attribute}'", where=name) from cause
    if not callable(found):
        raise UsageError(f"'{attribute}' of '{module_name}' is not callable", where=name)
    made: Callable[..., Any] = found
    return made


def called(name: str, **offered: Any) -> Any:
    """What the callable returns; it gets those of the keywords that it takes.

    Raises:
        UsageError: no such callable, or it raises something itself.
    """
    function = find(name)
    try:
        return function(**_accepted(function, offered))
    except BnfoldError:
        raise
    except Exception as cause:  # the user's code raises what it likes
        raise UsageError(f"{name} raised {told(cause)}", hint=TRACEBACK) from cause


def told(cause: BaseException) -> str:
    """What code that is not ours raised, in one line."""
    line = next((text.strip() for text in str(cause).splitlines() if text.strip()), "")
    return f"{type(cause).__name__}: {line}" if line else type(cause).__name__


def _accepted(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the keywords that the function takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables do not tell
        return offered
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return offered
    return {key: value for key, value in offered.items() if key in parameters}
