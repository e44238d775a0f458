"""Numbers as they may stand in JSON from elsewhere: decoding refuses what later arithmetic could not hold."""

from __future__ import annotations

from math import isinf
from typing import Annotated

import msgspec

__all__ = ["MAX_COUNT", "AppendedId", "Count", "DurationMs", "EventId", "Rate", "read_float"]

MAX_COUNT = 2**63 - 1
"""What SQLite numbers a row with at most, and so the last id that a chain can have."""

_MAX_DURATION_MS = 366 * 24 * 3600 * 1000
"""A year: no verification takes as long, and a float and a timedelta hold it."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
EventId = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
"""0 stands for the beginning, before event 1."""

AppendedId = Annotated[EventId, msgspec.Meta(extra_json_schema={"exclusiveMinimum": 0})]
"""Of an event that is there. The schema says so; a reader takes 0 too, and says itself what is wrong with it."""

DurationMs = Annotated[int, msgspec.Meta(ge=0, le=_MAX_DURATION_MS)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
"""Events a second; the limit is far beyond any, and can be shown."""


def read_float(text: str) -> float:
    """A number with a point or an exponent, for the `float_hook` of whoever decodes what a stranger wrote.

    msgspec by itself takes 10 µs for each number near 1e308, and lets no other thread run until it has read the whole
    text: half a second for 400 KB of `9e307`. Raises ValueError beyond the range of floats, as msgspec does.
    """
    value = float(text)
    if isinf(value):
        raise ValueError("Number out of range")
    return value
