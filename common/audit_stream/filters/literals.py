"""How values are written: what reads as a number or a constant, and when text needs quotes.

The reader and the canonical text share these rules, so that what a filter prints reads back as the same filter.
"""

from __future__ import annotations

import math
import re

__all__ = ["CONSTANTS", "constant_text", "number", "pattern_text", "segment_text", "string_text"]

CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")  # RFC 8259 section 6
_PLAIN = re.compile(r"[\w./@][\w./@-]*")  # no colon and no leading "-", which would make a field or a NOT of free text
_PLAIN_SEGMENT = re.compile(r"[\w-]+")


def number(text: str) -> int | float | None:
    """The number that a JSON number literal stands for, integers exactly; None for any other text.

    A literal beyond the range of floats, such as `12e4567`, is no number: no event can hold it, and it may well be the
    start of a hexadecimal digest.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match.group(1) is None and match.group(2) is None:
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None


def constant_text(value: bool | None) -> str:
    """`true`, `false` or `null`."""
    return "null" if value is None else str(value).lower()


def quoted(text: str) -> str:
    """The text as a quoted value, whatever it contains."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def pattern_text(literals: tuple[str, ...]) -> str:
    """A pattern in the filter language, quoted only where it must be."""
    if literals == ("",):
        return '""'
    return "*".join(literal if not literal or _PLAIN.fullmatch(literal) else quoted(literal) for literal in literals)


def string_text(literals: tuple[str, ...]) -> str:
    """A pattern for payload strings: quoted too where it would read as a number or a constant."""
    if len(literals) == 1 and (literals[0] in CONSTANTS or number(literals[0]) is not None):
        return quoted(literals[0])
    return pattern_text(literals)


def segment_text(key: str) -> str:
    """One key of a payload path."""
    return key if _PLAIN_SEGMENT.fullmatch(key) else quoted(key)
