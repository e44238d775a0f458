"""A log on disk: what belongs to it, what makes it one of ours, and connections that cannot write."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from audit_stream.logfile.errors import StoreUnusable

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "check",
    "configured",
    "open_log",
    "open_reader",
    "size_bytes",
    "write_ahead_log_of",
]

APPLICATION_ID = 0x41537472
"""`ASTr` in SQLite's header, so that file(1) and we can tell a store of ours from any other database."""

SCHEMA_VERSION = 1


def write_ahead_log_of(database: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a database."""
    return database.with_name(f"{database.name}-wal")


def size_bytes(path: Path) -> int:
    """The bytes of the database and its write-ahead log; what is not there counts nothing."""
    total = 0
    for file in (path, write_ahead_log_of(path)):
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreUnusable unless the file is a store of this version."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreUnusable(f"{path} is a database, but not one of audit-stream: give another file with --db")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise StoreUnusable(f"{path} has format {version}; this audit-stream reads format {SCHEMA_VERSION}")


def open_log(path: Path, *, cache_kib: int = 4096) -> sqlite3.Connection:
    """As `open_reader`, of a store of this version only. Raises StoreUnusable too."""
    if not path.is_file():
        raise StoreUnusable(f"{path} does not exist: give the daemon's database with --db")
    connection = open_reader(path, cache_kib=cache_kib)
    try:
        check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, *, cache_kib: int = 4096) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error when the file is missing or unreadable.

    Beside a file in WAL mode SQLite makes its index of the log. Where that is not allowed, as on read-only media, and
    there is no log, the file is read as one that nobody can change (https://www.sqlite.org/uri.html, "immutable").
    """
    log = write_ahead_log_of(path)
    sealed = not os.access(path.absolute().parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if sealed else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    return configured(connection, "query_only = ON", f"cache_size = -{cache_kib}", "temp_store = MEMORY")


def configured(connection: sqlite3.Connection, *pragmas: str) -> sqlite3.Connection:
    """The connection, or sqlite3.Error, and then it is closed."""
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except UnicodeDecodeError:  # SQLite's message quotes what it could not read
        connection.close()
        raise sqlite3.DatabaseError("the schema is damaged") from None
    except BaseException:
        connection.close()
        raise
    return connection
