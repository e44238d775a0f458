"""Where the items of a large JSON array are, found in steps of bounded work.

A decoder takes an array in one call, during which no other Python thread runs: for millions of small values that is
seconds. So a large array is cut between items, and the pieces are decoded one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json.decoder import JSONDecoder
from typing import Any

from audit_stream.canonical import MAX_CANONICAL_BYTES

__all__ = ["MAX_ITEM_BYTES", "SLICE_BYTES", "array_bounds", "guess_cut", "next_item", "skip_white"]

SLICE_BYTES = 256 << 10
"""How much is decoded at a time: whatever it holds, that takes a few milliseconds."""

MAX_ITEM_BYTES = 1 << 20
"""The longest text of one event, as for an event that is sent by itself (`wire.MAX_EVENT_BYTES`)."""

_WINDOWS_BYTES = (16 << 10, 128 << 10, MAX_ITEM_BYTES)
"""How much is looked at to find an item's end: usually little is enough."""

_MAX_COMMAS = 2 * MAX_CANONICAL_BYTES
"""In a window, which holds hardly more than one long item: an event has fewer than half of these."""

_LOOK_AHEAD_BYTES = 128 << 10
"""How far behind a full slice an item's end is looked for: further than an event of usual form is long."""

_BETWEEN_EVENTS = re.compile(
    rb'\}[ \t\r\n]{0,64},(?=[ \t\r\n]{0,64}\{[ \t\r\n]{0,64}"(?:kind|source|payload|timestamp)")'
)
"""An object's end and the begin of one that may be an event. In valid JSON it is never inside a string, where a quote
has a backslash before it; it may be inside a payload, though."""


def array_bounds(body: bytes | bytearray) -> tuple[int, int] | None:
    """Where the text between an array's brackets begins and ends, without white space; None when `body` is none."""
    start, end = skip_white(body, 0), body.rfind(b"]")
    if body[start : start + 1] != b"[" or end < start or skip_white(body, end + 1) != len(body):
        return None
    return min(skip_white(body, start + 1), end), end


def guess_cut(body: bytes | bytearray, start: int, end: int) -> int | None:
    """Where a slice that begins at `start` may end: at `end`, or at a comma that looks like one between two events.

    None when there is none in sight. The guess is right if and only if what is before it is a sequence of JSON values:
    a text that is cut within a string, an object or an array is none.
    """
    if end - start <= SLICE_BYTES:
        return end
    full = start + SLICE_BYTES
    found = _BETWEEN_EVENTS.search(body, full, min(end, full + _LOOK_AHEAD_BYTES))
    return None if found is None else found.end() - 1


def next_item(body: bytes | bytearray, start: int, end: int) -> tuple[int, int]:
    """The first JSON value at or after `start`: where it begins and ends. (start, end) when there is none to be found.

    Slower than a guess and never wrong. An item that ends beyond MAX_ITEM_BYTES counts as none, as does one of more
    values than an event can hold.
    """
    begin = skip_white(body, start)
    for size in _WINDOWS_BYTES:
        window = bytes(body[begin : min(end, begin + size)])
        if window.count(b",") > _MAX_COMMAS:
            break
        try:
            # One character a byte: what structures JSON is ASCII, and all else stands in strings.
            _, length = _scan(window.decode("latin-1"), 0)
        except (StopIteration, ValueError, RecursionError):
            continue
        return begin, begin + length
    return start, end


def skip_white(body: bytes | bytearray, start: int) -> int:
    """The first position from `start` on that is no white space, or the end."""
    while match := _WHITE_RUN.match(body, start, start + SLICE_BYTES):
        start = match.end()
    return start


_WHITE_RUN = re.compile(rb"[ \t\r\n]+")


def _nothing(_: Any) -> None:
    """In place of a number, which need not be read to find its end: thousands of digits take long."""


_scan: Callable[[str, int], tuple[Any, int]] = vars(
    JSONDecoder(strict=False, parse_int=_nothing, parse_float=_nothing, parse_constant=_nothing)
)["scan_once"]
