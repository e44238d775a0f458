"""Reading the log: its head, its events in the format that is served, and a file page by page.

`search.py` finds which events a query selects. A page is laid out in one SQLite step (`group_concat`), which keeps
reads cheap beside a busy event loop, because Python gives up its interpreter lock around every row that it fetches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from string import Formatter
from typing import TYPE_CHECKING

import msgspec

from audit_stream.chain import GENESIS, Head
from audit_stream.logfile.query import EVERYTHING, MAX_ID, EventQuery, Page, PageFormat
from audit_stream.logfile.served import are_served_events, served_event
from audit_stream.logfile.tables import text_of

if TYPE_CHECKING:
    from audit_stream.logfile.index import Index

__all__ = [
    "counts_that_fit",
    "fetch_each",
    "fetch_event",
    "fetch_events",
    "fits",
    "last_event",
    "load_head",
    "next_page",
]

_WINDOW_IDS = 16_384
"""Looked through for a page: some 0.2 s for the slowest filter, after which others have their turn."""

_SERVED_EXTRA_BYTES = 160
"""What an event takes beside its canonical bytes at most: its hash, and a stream's lines around it."""

_FIELDS = {  # of a PageFormat, as SQL on a row of events named e
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


def last_event(connection: sqlite3.Connection) -> Head:
    """The last event that is there, whatever the file's own record of its head says."""
    row = connection.execute(
        "SELECT event_id, CAST(hash AS BLOB) FROM events ORDER BY event_id DESC LIMIT 1"
    ).fetchone()
    return GENESIS if row is None or row[0] < 1 else Head(row[0], text_of(row[1]))


def next_page(connection: sqlite3.Connection, query: EventQuery, index: Callable[[], Index]) -> Page:
    """The next events that are there and fit, in the order of reading: at most `query.limit`, perhaps none.

    For a file that somebody may have edited: an event may be missing, or have any number. `more` says whether to go on
    beyond `reached`. `index` is asked for unless the query admits everything.
    """
    forward, limit = query.forward, query.limit
    low, high = max(query.min_id, 1), MAX_ID if query.max_id is None else min(query.max_id, MAX_ID)
    if query.criteria == EVERYTHING:
        ids: Sequence[int] = _ids_between(connection, low, high, forward=forward, limit=limit)
        reached = ids[-1] if len(ids) == limit else None
    else:
        start = _ids_between(connection, low, high, forward=forward, limit=1)  # a hole, however wide, costs nothing
        page = index().find(connection, _window(query, start[0], low, high)) if start else None
        ids, reached = (page.ids, page.reached) if page is not None else ((), None)
    end = high if forward else low
    if reached is None:
        return Page(ids=ids, more=False, reached=end)
    reached = max(reached, low) if forward else min(reached, high)  # it gets on, whatever the file's pages say
    return Page(ids=ids, more=reached != end, reached=reached)


def _window(query: EventQuery, start: int, low: int, high: int) -> EventQuery:
    """As much of [low, high] as is looked through for a page."""
    if query.forward:
        low, high = start, min(high, start + _WINDOW_IDS - 1)
    else:
        low, high = max(low, start - _WINDOW_IDS + 1), start
    return msgspec.structs.replace(query, min_id=low, max_id=high, newest_first=not query.forward)


def _ids_between(connection: sqlite3.Connection, low: int, high: int, *, forward: bool, limit: int) -> list[int]:
    (ids,) = connection.execute(
        "SELECT json_group_array(event_id) FROM (SELECT event_id FROM events WHERE event_id BETWEEN ? AND ?"  # noqa: S608 - one of two words
        f" ORDER BY event_id {'ASC' if forward else 'DESC'} LIMIT ?)",
        (low, high, limit),
    ).fetchone()
    return msgspec.json.decode(ids, type=list[int])


def fetch_event(connection: sqlite3.Connection, event_id: int) -> tuple[bytes, str] | None:
    """An event's canonical bytes and hash."""
    row = connection.execute(
        "SELECT CAST(canonical AS BLOB), CAST(hash AS BLOB) FROM events WHERE event_id = ?", (event_id,)
    ).fetchone()
    return None if row is None else (row[0] or b"", text_of(row[1]))


def counts_that_fit(connection: sqlite3.Connection, ids: Sequence[int], max_bytes: int) -> list[int]:
    """How many of `ids` at a time take at most `max_bytes` when served; each at least one. Reads lengths only."""
    (lengths,) = connection.execute(
        "SELECT json_group_array(size) FROM (SELECT coalesce(length(e.canonical), 0) AS size"
        " FROM json_each(?) wanted JOIN events e ON e.event_id = wanted.value ORDER BY wanted.key)",
        (msgspec.json.encode(list(ids)).decode(),),
    ).fetchone()
    counts = [0]
    total = 0
    for length in msgspec.json.decode(lengths, type=list[int]):
        served = length + _SERVED_EXTRA_BYTES
        total += served
        if total > max_bytes and counts[-1]:
            counts.append(0)
            total = served
        counts[-1] += 1
    counts[-1] += len(ids) - sum(counts)  # somebody has removed events: they take nothing
    return counts


def fits(connection: sqlite3.Connection, ids: Sequence[int], max_bytes: int) -> bool:
    """Whether the events of `ids`, sorted either way, take at most `max_bytes` when served. Reads lengths only."""
    chosen, values = _chosen(ids)
    (total,) = connection.execute(f"SELECT total(length(canonical)) FROM {chosen}", values).fetchone()  # noqa: S608 - a constant
    return bool(total + len(ids) * _SERVED_EXTRA_BYTES <= max_bytes)


def fetch_events(connection: sqlite3.Connection, ids: Sequence[int], page_format: PageFormat) -> bytes:
    """The events of `ids` in their order, laid out. `ids` must be sorted, either way; missing events are left out."""
    if not ids:
        return b""
    chosen, values = _chosen(ids)
    rows = f"(SELECT events.* FROM {chosen}) e"  # noqa: S608 - constants
    page = _joined(connection, rows, values, page_format)
    return _one_by_one(connection, rows, values, page_format) if page is None else page


def _chosen(ids: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    """The rows of sorted ids in their order, as SQL.

    A CROSS JOIN is done as it is written (sqlite.org/optoverview.html, 8.2), so in the order of the list, which is
    sorted already. It takes two thirds of the time of `IN`, and has nothing to sort.
    """
    low, high = min(ids[0], ids[-1]), max(ids[0], ids[-1])
    if high - low + 1 == len(ids):
        order = "DESC" if ids[0] > ids[-1] else "ASC"
        return f"events WHERE event_id BETWEEN ? AND ? ORDER BY event_id {order}", (low, high)
    wanted = msgspec.json.encode(list(ids)).decode()
    return "json_each(?) wanted CROSS JOIN events ON event_id = wanted.value", (wanted,)


def _joined(
    connection: sqlite3.Connection, rows: str, values: tuple[object, ...], page_format: PageFormat
) -> bytes | None:
    """The page as one step makes it; None when something in it is no event, or not shown to be one."""
    plain = page_format.text.startswith("{event}") and "{" not in page_format.text[len("{event}") :]
    text, between = _in_sql(page_format)
    laid_out = "NULL" if plain else f"CAST(group_concat({text}, {between}) AS BLOB)"
    lines, page, count = connection.execute(
        f"SELECT CAST(group_concat({_FIELDS['event']}, char(10)) AS BLOB), {laid_out}, count(*)"  # noqa: S608 - as above, and a format as literals
        f" FROM {rows}",
        values,
    ).fetchone()
    if not count:
        return b""
    if not are_served_events(lines or b"", count):
        return None
    if plain:
        after = page_format.text[len("{event}") :].encode()
        return bytes(lines.replace(b"\n", after + page_format.between.encode())) + after
    line_feeds = count * page_format.text.count("\n") + (count - 1) * page_format.between.count("\n")
    return page if page is not None and page.count(b"\n") == line_feeds and _is_utf8(page) else None


def fetch_each(connection: sqlite3.Connection, ids: Sequence[int]) -> list[tuple[int, bytes]]:
    """The number of its row and the event as it is served, of those of `ids` that are there; as for `fetch_events`."""
    if not ids:
        return []
    chosen, values = _chosen(ids)
    return [(id_, event) for id_, _, event in _each(connection, f"(SELECT events.* FROM {chosen}) e", values)]  # noqa: S608 - constants


def _one_by_one(
    connection: sqlite3.Connection, rows: str, values: tuple[object, ...], page_format: PageFormat
) -> bytes:
    """The same page, whatever is in its rows."""
    return page_format.between.encode().join(
        page_format.render(kind=kind, event_id=id_, event=event) for id_, kind, event in _each(connection, rows, values)
    )


def _each(connection: sqlite3.Connection, rows: str, values: tuple[object, ...]) -> list[tuple[int, str, bytes]]:
    found = connection.execute(
        "SELECT event_id, CAST(canonical AS BLOB), CAST(hash AS BLOB),"  # noqa: S608 - as above
        f" (SELECT CAST(kind AS BLOB) FROM series s WHERE s.series_id = e.series_id) FROM {rows}",
        values,
    ).fetchall()
    return [
        (id_, text_of(kind), served_event(id_, canonical or b"", text_of(hash_)))
        for id_, canonical, hash_, kind in found
    ]


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@lru_cache
def _in_sql(page_format: PageFormat) -> tuple[str, str]:
    """An event's text and what stands between two events, as SQL expressions."""
    pieces = []
    for literal, field, _, _ in Formatter().parse(page_format.text):
        if literal:
            pieces.append(_literal(literal))
        if field is not None:
            pieces.append(_FIELDS[field])
    return " || ".join(pieces), _literal(page_format.between)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
