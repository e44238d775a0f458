"""The SQLite file: made with its tables, and the connection that writes them. `audit_stream.logfile` reads them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from audit_daemon.store.acknowledged import check_not_shorter
from audit_daemon.store.own_file import check_own
from audit_stream.chain import GENESIS
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.opening import APPLICATION_ID, SCHEMA_VERSION, check, configured, write_ahead_log_of
from audit_stream.logfile.tables import TABLES, difference
from audit_stream.whole_file import sync_directory

__all__ = ["create", "open_writer", "prepare_directory", "size_of", "why"]

WRITE_LOCK_S = 1.0
"""How long a commit waits for another program that writes: producers wait with it."""

_MIN_SQLITE = (3, 37, 0)  # STRICT tables


def prepare_directory(path: Path) -> None:
    """Create the file's directory when it is missing, durably. Raises StoreUnusable."""
    missing = [directory for directory in path.parents if not directory.exists()]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in missing:  # SQLite syncs the directory of its own files, not those above it
            sync_directory(directory.parent)
    except OSError as error:
        raise StoreUnusable(f"cannot create {path.parent}: {error.strerror}") from error


def create(path: Path) -> None:
    """Make `path` a store: a new file gets the tables, a store of this version is left as it is.

    Raises StoreUnusable, saying why, for anything else.
    """
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        raise StoreUnusable(
            f"this Python's SQLite is {sqlite3.sqlite_version}; audit-stream needs 3.37 or newer: use another Python"
        )
    for suffix in ("-wal", "-shm"):
        _check_usable(path.with_name(path.name + suffix))
    if not size_of(path):
        if size_of(log := write_ahead_log_of(path)):
            raise StoreUnusable(
                f"{path} is {'empty' if path.exists() else 'missing'}, but {log.name} lies beside it: it holds the "
                "newest events of a database that was moved or deleted. Put that back, or move the log away to begin a "
                "new one"
            )
        check_not_shorter(path, None, GENESIS)
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
            check_not_shorter(path, None, GENESIS)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        check(connection, path)
        changed = difference(connection)
        if changed is not None:
            raise StoreUnusable(
                f"{path}: the database's tables were changed: {changed}. What is written into such tables may be "
                "dropped or hidden. Keep the file as evidence and see what `audit-stream verify` says of it; to go on, "
                "give another file with --db, such as one that `audit-stream import` makes of this one's export"
            )
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a message that quotes a damaged schema is no UTF-8
        raise StoreUnusable(f"cannot use {path}: {why(error)}") from error
    finally:
        connection.close()


def _check_usable(path: Path) -> None:
    """Raise StoreUnusable for a log or an index that SQLite could not write: it fails late then, and names no file."""
    check_own(path)
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise StoreUnusable(
            f"{path} cannot be read and written by this user, as when another one has run a daemon or an import on the "
            "database: give it to this one (chown)"
        )


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def why(error: Exception) -> str:
    """The reason of a database's error, for whoever has to mend it."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        return "another program holds a lock on it: end that, or its transaction"
    return str(error)


def open_writer(path: Path) -> sqlite3.Connection:
    """The only connection that writes. A COMMIT on it returns after the fsync of the write-ahead log.

    Checkpoints are ours to time (`checkpoint.py`): an automatic one runs inside COMMIT, so that its failure would be
    reported as the commit's although the events are on disk.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"  # never a new file: one that is gone must be noticed
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=WRITE_LOCK_S, cached_statements=256
    )
    return configured(
        connection,
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {64 << 20}",
        "temp_store = MEMORY",
    )
