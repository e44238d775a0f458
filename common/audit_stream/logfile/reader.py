"""Reading the log: which events a query selects, and their stored bytes in the layout that is served.

Two rules keep reads cheap beside a busy event loop. A query's cost depends on what it returns: ids come from the
series index, from id arithmetic or from the spans that overlap a time, never from a scan of the whole log (terms on
payloads and free text scan what those leave over). And a page is one SQLite step: rows are laid out and joined inside
SQLite (`group_concat`), because Python gives up its interpreter lock around every row that it fetches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from string import Formatter

import msgspec

from audit_stream.chain import Head
from audit_stream.filters import Plan, plan
from audit_stream.logfile.query import EVERYTHING, EventQuery, Layout, Page
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans

__all__ = ["fetch_event", "fetch_events", "find_ids", "how_many_fit", "load_head"]

_MAX_MERGED_SERIES = 100
"""Series in one compound SELECT; SQLite allows 500 terms, and its merge takes longer the more there are."""

_FIRST_BLOCK, _LARGEST_BLOCK = 256, 8192
"""Candidates tested at a time: few at first, since the newest often do, then more; between blocks a scan can stop."""

_FIELDS = {  # of a Layout, as SQL on a row of events named e
    "kind": "(SELECT replace(replace(kind, char(10), ' '), char(13), ' ') FROM series s"
    " WHERE s.series_id = e.series_id)",
    "event_id": "event_id",
    "event": "CAST(substr(canonical, 1, length(canonical) - 1) AS TEXT) || ',\"hash\":\"' || hash || '\"}'",
}


def load_head(connection: sqlite3.Connection) -> Head:
    """The end of the chain as the file's `head` row has it, or the last event when that is further.

    A `head` that was tampered with must not keep the daemon from taking new events.
    """
    row = connection.execute(
        "SELECT event_id, hash FROM (SELECT 0 AS rank, event_id, hash FROM head UNION ALL SELECT * FROM"
        " (SELECT 1, event_id, hash FROM events ORDER BY event_id DESC LIMIT 1)) ORDER BY event_id DESC, rank LIMIT 1"
    ).fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the record of the log's head is gone")
    return Head(row[0], row[1])


def fetch_event(connection: sqlite3.Connection, event_id: int) -> tuple[bytes, str] | None:
    """An event's canonical bytes and hash."""
    row = connection.execute("SELECT canonical, hash FROM events WHERE event_id = ?", (event_id,)).fetchone()
    return None if row is None else (row[0], row[1])


def how_many_fit(connection: sqlite3.Connection, ids: Sequence[int], max_bytes: int) -> int:
    """How many of the first of `ids` take at most `max_bytes` together; at least one. Reads lengths, not contents."""
    (lengths,) = connection.execute(
        "SELECT json_group_array(length(canonical)) FROM"
        " (SELECT e.canonical FROM json_each(?) wanted JOIN events e ON e.event_id = wanted.value ORDER BY wanted.key)",
        (msgspec.json.encode(list(ids)).decode(),),
    ).fetchone()
    total = 0
    for count, length in enumerate(msgspec.json.decode(lengths, type=list[int])):
        total += length
        if total > max_bytes:
            return max(count, 1)
    return len(ids)


def fetch_events(connection: sqlite3.Connection, ids: Sequence[int], layout: Layout) -> bytes:
    """The events of `ids` in their order, laid out. `ids` must be sorted, either way; missing events are left out."""
    if not ids:
        return b""
    text, between = _in_sql(layout)
    low, high = min(ids[0], ids[-1]), max(ids[0], ids[-1])
    order = "DESC" if ids[0] > ids[-1] else "ASC"
    if high - low + 1 == len(ids):
        chosen = "event_id BETWEEN ? AND ?"
        values: tuple[object, ...] = (low, high)
    else:
        chosen = "event_id IN (SELECT value FROM json_each(?))"
        values = (msgspec.json.encode(list(ids)).decode(),)
    (joined,) = connection.execute(
        f"SELECT CAST(group_concat({text}, {between}) AS BLOB) FROM"  # noqa: S608 - constants, and a layout as literals
        f" (SELECT * FROM events WHERE {chosen} ORDER BY event_id {order}) e",
        values,
    ).fetchone()
    return joined or b""


@lru_cache
def _in_sql(layout: Layout) -> tuple[str, str]:
    """An event's text and what stands between two events, as SQL expressions."""
    pieces = []
    for literal, field, _, _ in Formatter().parse(layout.text):
        if literal:
            pieces.append(_literal(literal))
        if field is not None:
            pieces.append(_FIELDS[field])
    return " || ".join(pieces), _literal(layout.between)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def find_ids(
    connection: sqlite3.Connection,
    query: EventQuery,
    *,
    series: SeriesRegistry,
    spans: Spans,
    head_id: int,
) -> Page:
    """The ids that a query selects, in the order of the answer."""
    if query.criteria == EVERYTHING:
        return _latest(query, head_id)
    scan = Scan(query, series=series, spans=spans, head_id=head_id)
    found: list[int] = []
    for block in scan.blocks(connection):
        found += block
        if len(found) > query.limit:
            break
    more = len(found) > query.limit
    found = found[: query.limit]
    if query.newest_first == query.forward:  # read in one direction, answered in the other
        found.reverse()
    return Page(ids=found, more=more)


def _latest(query: EventQuery, head_id: int) -> Page:
    """The ids of a query that admits every event: they have no gaps, so nothing need be read."""
    low, high = max(query.min_id, 1), head_id if query.max_id is None else min(head_id, query.max_id)
    if query.forward:
        ids = range(low, min(high, low + query.limit - 1) + 1)
    else:
        ids = range(max(low, high - query.limit + 1), high + 1)
    return Page(ids=ids[::-1] if query.newest_first else ids, more=high - low + 1 > query.limit)


class Scan:
    """A query on its way through the log, in blocks of ids in reading order, so that its reader can stop between."""

    def __init__(self, query: EventQuery, *, series: SeriesRegistry, spans: Spans, head_id: int) -> None:
        self._query = query
        self._criteria = query.criteria
        self._plan = None if query.criteria.filter is None else plan(query.criteria.filter)
        self._series = self._wanted_series(series)
        self._since_ms, self._until_ms = self._time_bounds()
        self._ranges = self._id_ranges(spans, head_id)

    def blocks(self, connection: sqlite3.Connection) -> Iterator[Sequence[int]]:
        """Blocks of matching ids: descending, or ascending for a `forward` query."""
        where, values = self._residual()
        if not where:  # every candidate matches: the first block is the answer
            yield from self._candidates(connection, min(self._query.limit + 1, _LARGEST_BLOCK))
            return
        for candidates in self._candidates(connection, _FIRST_BLOCK):
            yield self._matching(connection, candidates, where, values)

    def _wanted_series(self, registry: SeriesRegistry) -> list[int] | None:
        """Ids of the series that the query admits; None when it admits all."""
        kinds, sources, filter_plan = self._criteria.kinds, self._criteria.sources, self._plan
        by_filter = None if filter_plan is None or filter_plan.all_series else filter_plan.series_matches
        if kinds is None and sources is None and by_filter is None:
            return None
        return registry.select(
            lambda kind, source: (
                (kinds is None or kind in kinds)
                and (sources is None or source in sources)
                and (by_filter is None or by_filter(kind, source))
            )
        )

    def _time_bounds(self) -> tuple[int | None, int | None]:
        since = [self._criteria.since_ms, self._plan.since_ms if self._plan else None]
        until = [self._criteria.until_ms, self._plan.until_ms if self._plan else None]
        return (
            max((bound for bound in since if bound is not None), default=None),
            min((bound for bound in until if bound is not None), default=None),
        )

    def _id_ranges(self, spans: Spans, head_id: int) -> list[tuple[int, int]]:
        """Inclusive id ranges to read, in reading order."""
        low = max(self._query.min_id, (self._plan.min_id if self._plan else None) or 1)
        upper = (head_id, self._query.max_id, self._plan.max_id if self._plan else None)
        high = min(bound for bound in upper if bound is not None)
        ranges = [(low, high)]
        if self._since_ms is not None or self._until_ms is not None:
            ranges = [
                (max(low, first), min(high, last))
                for first, last in spans.ranges(self._since_ms, self._until_ms, head_id)
            ]
        ranges = [(first, last) for first, last in ranges if first <= last]
        return ranges if self._query.forward else ranges[::-1]

    def _residual(self) -> tuple[str, tuple[object, ...]]:
        """What the ranges and the series leave to test on each candidate, as SQL."""
        terms: list[str] = []
        values: list[object] = []
        if self._since_ms is not None:
            terms.append("time_ms >= ?")
            values.append(self._since_ms)
        if self._until_ms is not None:
            terms.append("time_ms <= ?")
            values.append(self._until_ms)
        filter_plan: Plan | None = self._plan
        if filter_plan is not None and filter_plan.where:
            terms.append(f"({filter_plan.where})")
            values += filter_plan.params
        return " AND ".join(terms), tuple(values)

    def _candidates(self, connection: sqlite3.Connection, size: int) -> Iterator[Sequence[int]]:
        for low, high in self._ranges:
            while low <= high:
                block = self._block(connection, low, high, size)
                if not block:
                    break
                yield block
                if self._query.forward:
                    low = block[-1] + 1
                else:
                    high = block[-1] - 1
                size = min(size * 2, _LARGEST_BLOCK)

    def _block(self, connection: sqlite3.Connection, low: int, high: int, size: int) -> Sequence[int]:
        """The next `size` candidates in [low, high] in reading order."""
        if self._series is None:
            return (
                range(low, min(high, low + size - 1) + 1)
                if self._query.forward
                else range(high, max(low, high - size + 1) - 1, -1)
            )
        merged: list[int] = []
        for start in range(0, len(self._series), _MAX_MERGED_SERIES):
            merged += self._merge(connection, self._series[start : start + _MAX_MERGED_SERIES], low, high, size)
        if len(self._series) > _MAX_MERGED_SERIES:
            merged.sort(reverse=not self._query.forward)
        return merged[:size]

    def _merge(self, connection: sqlite3.Connection, series: list[int], low: int, high: int, size: int) -> list[int]:
        """Merge some series' index entries; SQLite stops at `size` of them (sqlite.org/optoverview.html, 'UNION')."""
        term = (
            "SELECT event_id FROM events INDEXED BY events_series"
            " WHERE series_id = {} AND event_id BETWEEN :low AND :high"
        )
        order = "ASC" if self._query.forward else "DESC"
        terms = " UNION ALL ".join(term.format(series_id) for series_id in series)
        (ids,) = connection.execute(
            f"SELECT json_group_array(event_id) FROM ({terms} ORDER BY event_id {order} LIMIT :size)",  # noqa: S608 - ints
            {"low": low, "high": high, "size": size},
        ).fetchone()
        return msgspec.json.decode(ids, type=list[int])

    def _matching(
        self, connection: sqlite3.Connection, candidates: Sequence[int], where: str, values: tuple[object, ...]
    ) -> list[int]:
        order = "ASC" if self._query.forward else "DESC"
        if isinstance(candidates, range):
            chosen = "event_id BETWEEN ? AND ?"
            bounds: tuple[object, ...] = tuple(sorted((candidates[0], candidates[-1])))
        else:
            chosen = "event_id IN (SELECT value FROM json_each(?))"
            bounds = (msgspec.json.encode(candidates).decode(),)
        (ids,) = connection.execute(
            f"SELECT json_group_array(event_id) FROM (SELECT event_id FROM events"  # noqa: S608 - a plan's own text
            f" WHERE {chosen} AND {where} ORDER BY event_id {order})",
            (*bounds, *values),
        ).fetchone()
        return msgspec.json.decode(ids, type=list[int])
