"""Which ranges of the log can hold an event of a given time.

Producers may set timestamps, so the log is not sorted by time, only nearly. For each span of SPAN_EVENTS events the
smallest and the largest timestamp are kept, as PostgreSQL's block range indexes do (PostgreSQL manual, "BRIN
Indexes"): a time filter reads the spans that overlap it. That costs the writer one row in 1,024 where an index on
the time would cost one entry an event.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator

__all__ = ["SPAN_EVENTS", "SpanUpdate", "Spans"]

SPAN_EVENTS = 1024

_NEVER_MIN, _NEVER_MAX = 2**62, -(2**62)  # the bounds of a span without any time: it overlaps nothing
_ANY_TIME = (-(2**62), 2**62)  # of a span whose row was taken away: it is read, whatever the time


class Spans:
    """Bounds of all full spans, and of the open one at the end. The writer thread changes it; others read it."""

    def __init__(self) -> None:
        self._mins: array[int] = array("q")
        self._maxs: array[int] = array("q")
        self._open = (_NEVER_MIN, _NEVER_MAX)

    def load(self, connection: sqlite3.Connection, head_id: int) -> None:
        """Read the bounds of the full spans and compute those of the open one."""
        rows = {span: (low, high) for span, low, high in connection.execute("SELECT span, min_ms, max_ms FROM spans")}
        full = head_id // SPAN_EVENTS
        bounds = [rows.get(span, _ANY_TIME) for span in range(full)]
        self._mins = array("q", (_NEVER_MIN if low is None else low for low, _ in bounds))
        self._maxs = array("q", (_NEVER_MAX if high is None else high for _, high in bounds))
        low, high = connection.execute(
            "SELECT min(time_ms), max(time_ms) FROM events WHERE event_id > ?", (full * SPAN_EVENTS,)
        ).fetchone()
        self._open = (_NEVER_MIN, _NEVER_MAX) if low is None else (low, high)

    def begin(self) -> SpanUpdate:
        """Start a transaction's times; nothing changes here before `apply`."""
        return SpanUpdate(len(self._mins), self._open)

    def apply(self, update: SpanUpdate) -> None:
        """Take over the bounds of a transaction: after the commit that stored them."""
        for low, high in update.full:
            self._mins.append(low)
            self._maxs.append(high)
        self._open = update.open

    def ranges(self, since_ms: int | None, until_ms: int | None, head_id: int) -> Iterator[tuple[int, int]]:
        """The inclusive event_id ranges, in order, that can hold events in [since_ms, until_ms]."""
        since = _NEVER_MAX if since_ms is None else since_ms
        until = _NEVER_MIN if until_ms is None else until_ms
        start = None
        full = len(self._maxs)  # the last that the writer's thread adds to; a span that it adds now counts as open
        for span in range(full):
            if self._mins[span] <= until and self._maxs[span] >= since:
                start = span if start is None else start
            elif start is not None:
                yield start * SPAN_EVENTS + 1, span * SPAN_EVENTS
                start = None
        first = (full if start is None else start) * SPAN_EVENTS + 1
        if first <= head_id:
            yield first, head_id


class SpanUpdate:
    """The bounds that one transaction adds."""

    def __init__(self, first_span: int, open_bounds: tuple[int, int]) -> None:
        self._first_span = first_span
        self.full: list[tuple[int, int]] = []
        self.open = open_bounds

    def add(self, first_event_id: int, times_ms: Iterable[int | None]) -> None:
        """Take in the times of consecutive events from `first_event_id` on."""
        low, high = self.open
        for event_id, time_ms in enumerate(times_ms, first_event_id):
            if time_ms is not None:
                if time_ms < low:
                    low = time_ms
                if time_ms > high:
                    high = time_ms
            if event_id % SPAN_EVENTS == 0:
                self.full.append((low, high))
                low, high = _NEVER_MIN, _NEVER_MAX
        self.open = (low, high)

    @property
    def rows(self) -> list[tuple[int, int | None, int | None]]:
        """Rows for the `spans` table: (span, min_ms, max_ms), NULLs for a span without any time."""
        return [
            (span, *((None, None) if low == _NEVER_MIN else (low, high)))
            for span, (low, high) in enumerate(self.full, self._first_span)
        ]
