"""Whole logs at once, without a daemon: writing a chain that was verified elsewhere, reading one for export.

`write_chain` is one transaction, so that a crash leaves an empty store and never half a chain that looks whole.
`read_log` reads in short transactions, beside a daemon or without one; the log only grows, so what it read stays true.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from audit_daemon.store import schema
from audit_daemon.store.acknowledged import Acknowledged, check_not_shorter
from audit_daemon.store.lock import FileLock
from audit_stream.chain import Head
from audit_stream.filters import register
from audit_stream.logfile import opening
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.query import EventQuery, PageFormat
from audit_stream.logfile.reader import fetch_events, load_head
from audit_stream.logfile.search import find_ids
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans
from audit_stream.timestamps import time_ms_or_none

__all__ = ["append_events", "read_log", "write_chain"]

_ROWS = 4096
_PAGE_EVENTS = 5_000
_LINES = PageFormat("{event}\n")


def write_chain(path: Path, events: Iterable[tuple[bytes, dict[str, Any]]]) -> Head:
    """Make `path` a store of these events: canonical bytes and fields from event 1 on, as `verify_export` yields them.

    On return they are on disk. Whatever `events` raises leaves the store empty. Raises StoreLocked when a daemon
    holds the file, StoreUnusable when it has events or is none of ours, sqlite3.Error when the disk refuses.
    """
    path = path.resolve()  # by whatever name: SQLite's log and our files belong beside the file itself
    lock = FileLock(path)
    try:
        schema.create(path)
        with closing(schema.open_writer(path)) as connection:
            held = load_head(connection)
            check_not_shorter(path, connection, held)
            if held.event_id:
                raise StoreUnusable(f"{path} holds {held.event_id} events already: give a new file with --db")
            append_events(connection, events)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            head = load_head(connection)
        with closing(Acknowledged(path)) as record:
            record.write(head)
        return head
    finally:
        lock.release()


def append_events(connection: sqlite3.Connection, events: Iterable[tuple[bytes, dict[str, Any]]]) -> None:
    """Add events that are linked already, in one transaction. Whatever `events` raises leaves the store as it was."""
    registry, bounds = SeriesRegistry(), Spans()
    registry.load(connection)
    bounds.load(connection, load_head(connection).event_id)
    series, spans = registry.begin(), bounds.begin()
    connection.execute("BEGIN IMMEDIATE")
    rest = iter(events)
    while chunk := list(islice(rest, _ROWS)):
        rows = []
        for canonical, fields in chunk:
            series_id, series_seq = series.number((fields["kind"], fields["source"]))
            time_ms = time_ms_or_none(fields["timestamp"])
            rows.append((fields["event_id"], series_id, series_seq, time_ms, fields["hash"], canonical))
        spans.add(rows[0][0], [row[3] for row in rows])
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO series VALUES (?, ?, ?)", series.new_rows)
    connection.executemany("INSERT INTO spans VALUES (?, ?, ?)", spans.rows)
    connection.execute("COMMIT")


def read_log(path: Path, query: EventQuery) -> Iterator[tuple[bytes, int, int]]:
    """What a query selects, in chunks: NDJSON lines, the id up to which they deal with the log, the log's last id.

    `query` reads forward; its limit does not count. Raises StoreUnusable or sqlite3.Error.
    """
    if not path.is_file():
        raise StoreUnusable(f"{path} does not exist: give the daemon's database with --db")
    with closing(opening.open_reader(path)) as connection:
        opening.check(connection, path)
        register(connection)
        head_id = load_head(connection).event_id
        series, spans = SeriesRegistry(), Spans()
        series.load(connection)
        spans.load(connection, head_id)
        after_id, more = 0, True
        while more:
            step = msgspec.structs.replace(query, min_id=after_id + 1, max_id=head_id, limit=_PAGE_EVENTS)
            page = find_ids(connection, step, series=series, spans=spans, head_id=head_id)
            more = page.more
            after_id = page.ids[-1] if more else head_id
            yield fetch_events(connection, page.ids, _LINES), after_id, head_id
