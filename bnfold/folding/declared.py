"""Which foreign operators are declared linear: by `Options.linear`, or by an installed package."""

from __future__ import annotations

from functools import cache

from bnfold.errors import UsageError
from bnfold.folding.report import Options

GROUP = "bnfold.linear"  # the entry points: each loads an iterable of "domain::Op"


def linear_operators(options: Options) -> frozenset[str]:
    """All that are declared, as "domain::Op".

    Raises:
        UsageError: a name is not of that form.
    """
    names = frozenset(options.linear) | _installed()
    for name in sorted(names):
        domain, separator, operator = name.partition("::")
        if not (domain and separator and operator):
            raise UsageError(
                f"'{name}' does not name a foreign operator", hint='write "domain::Op"'
            )
    return names


@cache
def _installed() -> frozenset[str]:
    from importlib.metadata import entry_points

    return frozenset(name for point in entry_points(group=GROUP) for name in point.load())
