"""Events as text for people: everything that came from outside escaped, a payload on one line.

For terminals and for files that people open; `safe` is the only door through which text from an event may get there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["counted", "payload_summary", "safe"]

_MAX_VALUE = 120
"""Characters of one payload value: a line stays a line."""
_MAX_FIELDS = 24

_PLAIN = re.compile(r"[^\s\"'=,{}\[\]]+")


def safe(text: str) -> str:
    """The text with everything escaped that could move, hide or reorder what a terminal shows.

    Unicode's categories "other" and "separator" but for the space: control characters, ANSI escapes, line and
    paragraph separators, bidirectional overrides, zero-width characters, surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def counted(number: int, noun: str) -> str:
    """`1 event`, `2,000 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def payload_summary(payload: Mapping[str, Any]) -> list[str]:
    """A payload's top-level fields as `key=value`, each cut to a readable length and safe; then how many were left."""
    pieces = [f"{_word(key)}={_value(value)}" for key, value in list(payload.items())[:_MAX_FIELDS]]
    hidden = len(payload) - len(pieces)
    return [*pieces, f"(and {hidden} more)"] if hidden else pieces


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _value(value: object) -> str:
    return _word(value) if isinstance(value, str) else _cut(json.dumps(value, ensure_ascii=False))


def _word(text: str) -> str:
    """A string bare where that cannot be mistaken, otherwise in JSON's quotes."""
    return _cut(text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False))


def _cut(text: str) -> str:
    shown = safe(text)
    return shown if len(shown) <= _MAX_VALUE else f"{shown[: _MAX_VALUE - 1]}…"
