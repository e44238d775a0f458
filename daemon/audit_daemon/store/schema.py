"""The SQLite file: its tables, and the connection that writes them. `audit_stream.logfile` reads them.

`events` holds the truth, the canonical bytes and their hash, and columns derived from the bytes that serve queries:

- `series_id` names the event's (kind, source) pair; the one secondary index is on it, so that filters on kind, on
  source and on both read just the events that they return, for the price of one small integer an event;
- `series_seq` numbers the events of a series from 1, so that a count by kind and source needs no counter on disk:
  it is the number of the series' last event;
- `time_ms` is the timestamp in Unix milliseconds, NULL where an imported one is not RFC 3339; `spans` holds its
  smallest and largest value for every SPAN_EVENTS events, as PostgreSQL's BRIN does, instead of an index.

`head` repeats the last event's id and hash, so that rows removed from the end are noticed; a trigger keeps it, so
that a commit of a few events is one statement. Verification checks all of it against the bytes. Hashes are stored as
they are served, in hex: joining them to a page is cheaper, and `sqlite3` shows an auditor what the API shows.
`idempotency` is a producer's convenience and no evidence.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.opening import APPLICATION_ID, SCHEMA_VERSION, check, configured

__all__ = ["create", "open_writer", "prepare_directory"]

_MIN_SQLITE = (3, 37, 0)  # STRICT tables

_TABLES = """
CREATE TABLE events (
  event_id INTEGER PRIMARY KEY,
  series_id INTEGER NOT NULL,
  series_seq INTEGER NOT NULL,
  time_ms INTEGER,
  hash TEXT NOT NULL,
  canonical BLOB NOT NULL
) STRICT;
CREATE INDEX events_series ON events (series_id);
CREATE TABLE series (
  series_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  source TEXT NOT NULL,
  UNIQUE (kind, source)
) STRICT;
CREATE TABLE spans (span INTEGER PRIMARY KEY, min_ms INTEGER, max_ms INTEGER) STRICT;
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), event_id INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
INSERT INTO head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
CREATE TRIGGER head_follows AFTER INSERT ON events BEGIN
  UPDATE head SET event_id = NEW.event_id, hash = NEW.hash;
END;
CREATE TABLE idempotency (
  source TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  first_event_id INTEGER NOT NULL,
  last_event_id INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_time ON idempotency (time_ms);
"""


def prepare_directory(path: Path) -> None:
    """Create the file's directory when it is missing, durably. Raises StoreUnusable."""
    missing = [directory for directory in path.parents if not directory.exists()]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in missing:  # SQLite syncs the directory of its own files, not those above it
            _sync_directory(directory.parent)
    except OSError as error:
        raise StoreUnusable(f"cannot create {path.parent}: {error.strerror}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path) -> None:
    """Make `path` a store: a new file gets the tables, a store of this version is left as it is.

    Raises StoreUnusable, saying why, for anything else.
    """
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        raise StoreUnusable(
            f"this Python's SQLite is {sqlite3.sqlite_version}; audit-stream needs 3.37 or newer: use another Python"
        )
    log = path.with_name(path.name + "-wal")
    if not path.exists() and log.exists() and log.stat().st_size:
        raise StoreUnusable(
            f"{path} is missing, but {log.name} lies where it was: it holds the newest events of a database that was "
            "moved or deleted. Put that back, or move the log away to begin a new one"
        )
    try:
        # SQLite gives its log and index the mode of the database: what was decided is not for everyone to read.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None)
    except OSError as error:
        raise StoreUnusable(f"cannot open {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreUnusable(f"cannot open {path}: {error}") from error
    try:
        if connection.execute("PRAGMA schema_version").fetchone()[0] == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        check(connection, path)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a message that quotes a damaged schema is no UTF-8
        raise StoreUnusable(f"cannot use {path}: {error}") from error
    finally:
        connection.close()


def open_writer(path: Path) -> sqlite3.Connection:
    """The only connection that writes. A COMMIT on it returns after the fsync of the write-ahead log.

    Checkpoints are ours to time (`checkpoint.py`): an automatic one runs inside COMMIT, so that its failure would be
    reported as the commit's although the events are on disk.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"  # never a new file: one that is gone must be noticed
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0, cached_statements=256
    )
    return configured(
        connection,
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {64 << 20}",
        "temp_store = MEMORY",
    )
