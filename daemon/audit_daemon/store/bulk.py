"""A chain that was verified elsewhere, written at once and without a daemon.

It is one transaction, so that a crash leaves an empty store and never half a chain that looks whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from audit_daemon.store import schema
from audit_daemon.store.acknowledged import Acknowledged, check_not_shorter
from audit_daemon.store.lock import FileLock
from audit_stream.chain import Head
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.reader import load_head
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans
from audit_stream.timestamps import time_ms_or_none

__all__ = ["append_events", "write_chain"]

_ROWS = 4096


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
