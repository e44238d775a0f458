r"""Whether stored payloads are in canonical form, thousands in a few milliseconds.

The canonical form is what `json.dumps` makes of what `json.loads` reads. msgspec does both in a tenth of the time but
writes some of it otherwise, which is taken care of: numbers with a point or an exponent are held to `repr` one by one,
and a `\u` is replaced by DEL, which no canonical form holds, so that escapes are plain text to msgspec. What cannot be
proven so may still be canonical, such as the NaN of an imported event: `json` decides on that.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["encoded", "event_fields", "first_not_canonical"]

_FIELDS = {"event_id": int, "kind": str, "payload": dict, "prev_hash": str, "source": str, "timestamp": str}

_ESCAPED = re.compile(rb"\x7f(.{4}|)", re.DOTALL)

_ESCAPE = re.compile(rb"00(?:0[0-7bef]|1[0-9a-f]|7f|[89a-f][0-9a-f])|0[1-9a-f][0-9a-f]{2}|[1-9a-f][0-9a-f]{3}")
"""What is written after `\\u`: nothing that is printed, and no control character that has a shorter escape."""

_KEY_OUT_OF_ORDER = re.compile(rb'\x7f(?:00[01]|d[89a-f])(?:[^"\\]|\\.)*":')
"""A key with an escape that DEL does not sort as what it stands for: a control character, half a surrogate pair."""


def encoded(value: object) -> str:
    """The canonical form of a value; as 0.1.0 hashed them, NaN and infinities are `NaN`, `Infinity`, `-Infinity`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def event_fields(canonical: bytes) -> dict[str, Any] | None:
    """The fields as Python's `json` reads them, in any form; None when they are not just those of an event."""
    try:
        fields = json.loads(canonical.decode("ascii"))
    except (ValueError, RecursionError):
        return None
    if type(fields) is not dict or {name: type(value) for name, value in fields.items()} != _FIELDS:
        return None
    return fields


def first_not_canonical(payloads: Sequence[bytes]) -> int | None:
    """The index of the first that is no JSON object in canonical form; None when all are."""
    if _are_canonical(payloads):
        return None
    for index, payload in enumerate(payloads):
        if not _are_canonical((payload,)) and not _is_canonical(payload):
            return index
    return None


def _are_canonical(payloads: Sequence[bytes]) -> bool:
    """True proves it; False proves nothing.

    What is written has one line feed for each payload, so equal bytes mean that no payload holds one, and that each is
    what was written of its own line.
    """
    lines = b"\n".join(payloads) + b"\n"
    if not lines.isascii() or b"\x7f" in lines:
        return False
    if b"\\u" in lines:
        lines = lines.replace(b"\\u", b"\x7f")
        codes = set(_ESCAPED.findall(lines))
        if not all(map(_is_escape, codes)):
            return False
        if any(code[:1] == b"d" or code[:2] == b"00" for code in codes) and _KEY_OUT_OF_ORDER.search(lines):
            return False
    try:
        values = _read(lines)
        return len(values) == len(payloads) and _write(values) == lines
    except (ValueError, RecursionError, OverflowError, NotImplementedError):
        return False


@functools.lru_cache(65_536)
def _is_escape(code: bytes) -> bool:
    return _ESCAPE.fullmatch(code) is not None


def _is_canonical(payload: bytes) -> bool:
    try:
        value = json.loads(payload.decode("ascii"))
        return type(value) is dict and encoded(value).encode("ascii") == payload
    except (ValueError, RecursionError):
        return False


def _exact_float(text: str) -> msgspec.Raw:
    if repr(float(text)) != text:
        raise ValueError
    return msgspec.Raw(text.encode("ascii"))


_read = msgspec.json.Decoder(dict[str, Any], float_hook=_exact_float).decode_lines
_write = msgspec.json.Encoder(order="sorted").encode_lines
