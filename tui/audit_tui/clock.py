"""The time, passed in, so that whatever depends on it can be shown twice the same."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from audit_stream.event import system_clock_ms

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """`now_s` is monotonic, in seconds from anywhere; `now_ms` is Unix milliseconds."""

    now_s: Callable[[], float]
    now_ms: Callable[[], int]


SYSTEM_CLOCK = Clock(now_s=time.monotonic, now_ms=system_clock_ms)
