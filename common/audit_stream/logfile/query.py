"""What can be asked of a log, and how a page of it is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from string import Formatter
from typing import TYPE_CHECKING, Any

import msgspec

from audit_stream.event import system_clock_ms
from audit_stream.timestamps import parse_rfc3339_ms

if TYPE_CHECKING:
    from audit_stream.client import Selection
    from audit_stream.filters import Filter
else:
    Filter = Any  # 30 ms to import: a console that opens a file shows it first

__all__ = ["EVERYTHING", "MAX_ID", "Criteria", "EventQuery", "Page", "PageFormat", "criteria_of"]

MAX_ID = 2**63 - 1
"""What SQLite can number."""


class Criteria(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What an event must be like, wherever it stands in the log. None admits all; times are inclusive bounds."""

    kinds: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    filter: Filter | None = None

    @property
    def scans(self) -> bool:
        """Whether events must be looked at one by one to find those that fit."""
        return any(bound is not None for bound in (self.filter, self.since_ms, self.until_ms))

    def admits(self, kind: str, source: str, time_ms: int | None) -> bool:
        """Whether an event fits all but the filter. `time_ms` is None for a time that is not RFC 3339."""
        return (
            (self.kinds is None or kind in self.kinds)
            and (self.sources is None or source in self.sources)
            and (self.since_ms is None or (time_ms is not None and time_ms >= self.since_ms))
            and (self.until_ms is None or (time_ms is not None and time_ms <= self.until_ms))
        )


EVERYTHING = Criteria()


def criteria_of(wanted: Selection) -> Criteria:
    """What a daemon would make of the same selection. Raises FilterError or TimestampError."""
    filter_ = None
    if wanted.q.strip():
        from audit_stream.filters import parse  # as above

        filter_ = parse(wanted.q, now_ms=system_clock_ms())
    return Criteria(
        kinds=frozenset(wanted.kinds) or None,
        sources=frozenset(wanted.sources) or None,
        since_ms=parse_rfc3339_ms(wanted.since) if wanted.since else None,
        until_ms=parse_rfc3339_ms(wanted.until) if wanted.until else None,
        filter=filter_,
    )


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to read; ids are inclusive bounds.

    `forward` reads from the oldest that fits, otherwise from the newest; `limit` cuts what is read, and
    `newest_first` orders what is answered.
    """

    criteria: Criteria = EVERYTHING
    min_id: int = 1
    max_id: int | None = None
    limit: int = 1000
    forward: bool = False
    newest_first: bool = False


class PageFormat(msgspec.Struct, frozen=True, cache_hash=True):
    """How a page is written, so that a store can do it where its rows are.

    `text` is one event's, with `{kind}`, `{event_id}` and `{event}`, the event as it is served; `between` stands
    between two events.
    """

    text: str
    between: str = ""

    def render(self, *, kind: str, event_id: int, event: bytes) -> bytes:
        """One event's text; what a store reads in this format is these bytes."""
        one_line = kind.replace("\n", " ").replace("\r", " ")  # an imported one must not begin a line of its own
        return _template(self) % {b"kind": one_line.encode(), b"event_id": b"%d" % event_id, b"event": event}


@lru_cache
def _template(page_format: PageFormat) -> bytes:
    """The text for bytes' own formatting, which takes a third of the time of str.format and its conversions."""
    return b"".join(
        literal.replace("%", "%%").encode() + (b"" if field is None else b"%%(%b)b" % field.encode())
        for literal, field, _, _ in Formatter().parse(page_format.text)
    )


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that a query found, in the order of the answer, and whether more events fit, or may fit, beyond them.

    `reached` is the id up to which the log has been dealt with in the direction of reading: what comes next lies
    beyond it.
    """

    ids: Sequence[int]
    more: bool
    reached: int
