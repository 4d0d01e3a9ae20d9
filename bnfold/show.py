"""Text out of a model, made safe to print: one function for terminals, pages and reports."""

from __future__ import annotations

import re

LONGEST = 120

# C0, DEL, C1, what is invisible or turns the direction of writing, lone surrogates, tags,
# non-characters: all that a terminal obeys or a reader cannot see
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)


def show(name: object, longest: int = LONGEST) -> str:
    r"""`name`, cut at `longest` characters; control and invisible ones as `\xNN` or `\uNNNN`."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
