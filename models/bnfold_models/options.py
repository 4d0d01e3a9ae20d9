"""Options behind a network's name: `bn-inception,width=0.5,stem=separable`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from bnfold.errors import UsageError

Design = TypeVar("Design")


def with_options(design: Design, settings: Sequence[str], name: str) -> Design:
    """The design (a dataclass of numbers, truths and enums) with KEY=VALUE settings over it.

    Raises:
        UsageError: a setting is not KEY=VALUE, or a key or a value is not right; all at once.
    """
    kinds = get_type_hints(type(design))
    keys = [field.name for field in fields(design)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    wrong = []
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in keys:
            wrong.append(f"no option '{key}'")
            continue
        try:
            values[key] = _value(kinds[key], text)
        except ValueError as cause:
            wrong.append(f"{setting}: {cause}")
    if wrong:
        raise UsageError(f"model '{name}': {'; '.join(wrong)}", hint=f"options: {', '.join(keys)}")
    try:
        return replace(design, **values)  # type: ignore[type-var]
    except ValueError as cause:
        raise UsageError(f"model '{name}': {cause}") from cause


def _value(kind: type[Any], text: str) -> Any:
    """The text as a value of the field's type."""
    if kind is bool:
        answers = {"true": True, "false": False}
        if text not in answers:
            raise ValueError("not true or false")
        return answers[text]
    if issubclass(kind, Enum):
        allowed = [str(member.value) for member in kind]
        if text not in allowed:
            raise ValueError(f"not one of {', '.join(allowed)}")
    try:
        return kind(text)
    except ValueError:
        raise ValueError("not a number") from None
