"""The meaning of a filter: which events it lets through."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from audit_stream.event import Event
from audit_stream.filters.content import Content
from audit_stream.filters.tree import (
    Filter,
    IdIn,
    KindIs,
    PayloadHas,
    SeverityIs,
    Since,
    SourceIs,
    Test,
    TextContains,
    Until,
)
from audit_stream.timestamps import time_ms_or_none

__all__ = ["SeriesTest", "Subject", "matches", "passes", "series_holds"]

SeriesTest = KindIs | SourceIs | SeverityIs
"""What depends on an event's series, that is its kind and source, alone."""


class Subject:
    """An event as filters see it. What they seldom ask for is given as a function, which is called once at most."""

    def __init__(
        self,
        *,
        kind: str,
        source: str,
        event_id: int,
        time_ms: Callable[[], int | None],
        payload: Callable[[], dict[str, Any]],
    ) -> None:
        self.kind = kind
        self.source = source
        self.event_id = event_id
        self._time_ms = time_ms
        self._payload = payload

    @functools.cached_property
    def time_ms(self) -> int | None:
        """The timestamp in Unix milliseconds, None when it is no instant."""
        return self._time_ms()

    @functools.cached_property
    def content(self) -> Content:
        """What payload terms and free text see."""
        return Content(kind=self.kind, source=self.source, payload=self._payload())


def matches(filter_: Filter, event: Event, /) -> bool:
    """Whether the event passes the filter."""
    return passes(
        filter_,
        Subject(
            kind=event.kind,
            source=event.source,
            event_id=event.event_id,
            time_ms=lambda: time_ms_or_none(event.timestamp),
            payload=lambda: event.payload,
        ),
    )


def passes(filter_: Filter, subject: Subject, /) -> bool:
    """Whether the subject passes the filter: what many filters are asked of is prepared once."""
    return all(_holds(term.test, subject) is not term.negated for term in filter_.terms)


def series_holds(test: SeriesTest, kind: str, source: str) -> bool:
    """Whether the test, not negated, holds for the events of a series."""
    match test:
        case KindIs():
            return any(pattern.matches(kind) for pattern in test.patterns)
        case SourceIs():
            return any(pattern.matches(source) for pattern in test.patterns)
        case SeverityIs():
            return (kind in test.kinds) is not test.lists_exceptions


def _holds(test: Test, subject: Subject) -> bool:
    match test:
        case KindIs() | SourceIs() | SeverityIs():
            return series_holds(test, subject.kind, subject.source)
        case IdIn():
            event_id = subject.event_id
            return any(span.first <= event_id and (span.last is None or event_id <= span.last) for span in test.ranges)
        case Since():
            return subject.time_ms is not None and subject.time_ms >= test.at_ms
        case Until():
            return subject.time_ms is not None and subject.time_ms <= test.at_ms
        case PayloadHas() | TextContains():
            return subject.content.has(test)
