"""What a reader selects, as a query of the file: for reading without a daemon."""

from __future__ import annotations

from audit_stream.client import Selection
from audit_stream.event import system_clock_ms
from audit_stream.filters import parse
from audit_stream.logfile.query import Criteria, EventQuery
from audit_stream.timestamps import parse_rfc3339_ms

__all__ = ["file_query"]


def file_query(wanted: Selection) -> EventQuery:
    """What the daemon would make of the same selection; reads forward from the first event.

    Raises FilterError or TimestampError.
    """
    filter_ = parse(wanted.q, now_ms=system_clock_ms()) if wanted.q.strip() else None
    criteria = Criteria(
        kinds=frozenset(wanted.kinds) or None,
        sources=frozenset(wanted.sources) or None,
        since_ms=parse_rfc3339_ms(wanted.since) if wanted.since else None,
        until_ms=parse_rfc3339_ms(wanted.until) if wanted.until else None,
        filter=filter_,
    )
    return EventQuery(criteria=criteria, forward=True)
