"""Text out of a model, made safe to print: one function for terminals, pages and reports."""

from __future__ import annotations

import re

LONGEST = 120

# C0, DEL, C1, line separators, bidirectional overrides, lone surrogates, non-characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def show(name: object, longest: int = LONGEST) -> str:
    r"""`name` with control characters as `\xNN` or `\uNNNN`, cut at `longest` characters."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
