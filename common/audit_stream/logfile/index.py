"""A log's file searched without a daemon, which has the same in its memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from audit_stream.filters import register
from audit_stream.logfile.opening import open_log
from audit_stream.logfile.query import Criteria, EventQuery, Page, PageFormat
from audit_stream.logfile.reader import fetch_events, last_event, next_page
from audit_stream.logfile.search import find_ids
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import SPAN_EVENTS, Spans

__all__ = ["Index", "read_log"]

_PAGE_EVENTS = 5_000
_LINES = PageFormat("{event}\n")


class Index:
    """The last event, the series and the spans as the file had them when this was made; true also once it has grown."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """`connection` can be searched from now on."""
        register(connection)
        self.last = last_event(connection)
        self.series = SeriesRegistry()
        self.series.load(connection)
        self._spans = Spans()
        (stored,) = connection.execute("SELECT count(*) FROM spans").fetchone()
        if stored == self.last.event_id // SPAN_EVENTS:  # else all is read: a forged id must not ask for endless spans
            self._spans.load(connection, self.last.event_id)

    def find(self, connection: sqlite3.Connection, query: EventQuery) -> Page:
        """The ids that a query selects, up to the last event."""
        return find_ids(connection, query, series=self.series, spans=self._spans, head_id=self.last.event_id)


def read_log(path: Path, criteria: Criteria) -> Iterator[tuple[bytes, int, int]]:
    """All events that fit, in chunks: NDJSON lines, the id up to which they deal with the log, the log's last id.

    It reads in short transactions, also beside a daemon: the log only grows, so what was read stays true. Raises
    StoreUnusable or sqlite3.Error.
    """
    with closing(open_log(path)) as connection:
        index = Index(connection)
        last_id, reached, more = index.last.event_id, 0, True
        while more:
            query = EventQuery(criteria=criteria, min_id=reached + 1, max_id=last_id, limit=_PAGE_EVENTS, forward=True)
            page = next_page(connection, query, lambda: index)
            more, reached = page.more, page.reached
            yield fetch_events(connection, page.ids, _LINES), reached, last_id
