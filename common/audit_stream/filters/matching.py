"""The meaning of a filter: which events it lets through."""

from __future__ import annotations

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

__all__ = ["SeriesTest", "matches", "series_holds"]

SeriesTest = KindIs | SourceIs | SeverityIs
"""What depends on an event's series, that is its kind and source, alone."""


def matches(filter_: Filter, event: Event, /) -> bool:
    """Whether the event passes the filter."""
    content = Content(kind=event.kind, source=event.source, payload=event.payload)
    return all(_holds(term.test, event, content) is not term.negated for term in filter_.terms)


def series_holds(test: SeriesTest, kind: str, source: str) -> bool:
    """Whether the test, not negated, holds for the events of a series."""
    match test:
        case KindIs():
            return any(pattern.matches(kind) for pattern in test.patterns)
        case SourceIs():
            return any(pattern.matches(source) for pattern in test.patterns)
        case SeverityIs():
            return (kind in test.kinds) is not test.lists_exceptions


def _holds(test: Test, event: Event, content: Content) -> bool:
    match test:
        case KindIs() | SourceIs() | SeverityIs():
            return series_holds(test, event.kind, event.source)
        case IdIn():
            return any(
                span.first <= event.event_id and (span.last is None or event.event_id <= span.last)
                for span in test.ranges
            )
        case Since():
            at_ms = time_ms_or_none(event.timestamp)
            return at_ms is not None and at_ms >= test.at_ms
        case Until():
            at_ms = time_ms_or_none(event.timestamp)
            return at_ms is not None and at_ms <= test.at_ms
        case PayloadHas() | TextContains():
            return content.has(test)
