"""A daemon's SQLite file as one thread reads it, whatever somebody has done to it.

What is in a row is served as it is: a row that does not hold is evidence, too. Rows go by their own number, never by
what their bytes say, so that no forged id sends a reader in circles.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from audit_stream.chain import GENESIS, Head
from audit_stream.client import OtherHistory, Stats
from audit_stream.errors import ClientError
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.opening import check, open_reader, size_bytes, write_ahead_log_of
from audit_stream.logfile.query import MAX_ID, EventQuery
from audit_stream.logfile.reader import fetch_each, fetch_event, last_event, next_page
from audit_stream.logfile.served import served_event

if TYPE_CHECKING:
    from audit_stream.logfile.index import Index

__all__ = ["DatabaseFile", "Version"]

_VERSIONS, _WAL_MODE = slice(18, 20), b"\2\2"
"""In the file's header (https://www.sqlite.org/fileformat.html, 1.3.3)."""

Version = tuple[tuple[int, int], int]
"""Which file it is, and a number that changes when another connection has written to it."""


class DatabaseFile:
    """All methods belong to one thread and raise ClientError and nothing else. It follows a file that is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._index: tuple[Version, Index] | None = None

    def version(self) -> Version:
        """Costs two system calls."""
        with self._open() as connection:
            return self._version(connection)

    def last(self) -> Head:
        """The last event that is there, whatever the file's own record of its head says."""
        with self._open() as connection:
            return last_event(connection)

    def confirm(self, place: Head | None) -> tuple[Head, OtherHistory | None]:
        """Where to go on after `place` (its hash may be ""), or at the end, and whether the file still holds it."""
        with self._open() as connection:
            last = last_event(connection)
            if place is None or place.event_id == 0:
                return last if place is None else GENESIS, None
            row = fetch_event(connection, min(place.event_id, MAX_ID))
        if row is None:
            gone = last.event_id < place.event_id
            return (last, OtherHistory(seen=place, head=last)) if gone else (place, None)
        there = Head(place.event_id, row[1])
        return there, None if place.hash in ("", there.hash) else OtherHistory(seen=place, head=last)

    def stats(self) -> Stats:
        """Counts of the events that are there; by kind and source, as the file's own index numbers them."""
        with self._open() as connection:
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
            index = self._current_index(connection)
        by_kind: Counter[str] = Counter()
        by_source: Counter[str] = Counter()
        for (kind, source), number in index.series.counts().items():
            by_kind[kind] += number
            by_source[source] += number
        return Stats(
            count=count,
            last_event_id=index.last.event_id or None,
            latest_hash=index.last.hash if index.last.event_id else None,
            by_kind=dict(by_kind),
            by_source=dict(by_source),
            database_bytes=size_bytes(self._path),
        )

    def event(self, event_id: int) -> bytes | None:
        """One event's bytes."""
        if not 0 < event_id <= MAX_ID:
            return None
        with self._open() as connection:
            row = fetch_event(connection, event_id)
        return None if row is None else served_event(event_id, *row)

    def find(self, query: EventQuery) -> tuple[list[tuple[int, bytes]], bool, int]:
        """One step of a search: events by their rows' ids, whether more may follow, and beyond which id."""
        with self._open() as connection:
            page = next_page(connection, query, lambda: self._current_index(connection))
            return fetch_each(connection, page.ids), page.more, page.reached

    def refuse_bare(self) -> None:
        """Raise ClientError when the file is empty and without the log that a daemon writes events to first.

        A copy of the database alone looks so, and so does what a daemon leaves that was never sent an event.
        """
        with self._open() as connection:
            if last_event(connection).event_id == 0 and _lacks_log(self._path):
                raise ClientError(
                    f"{self._path} holds no event and has no {write_ahead_log_of(self._path).name} beside it, which "
                    "holds the newest events of a daemon: if this is a copy, copy that file too"
                )

    def close(self) -> None:
        """Release the file; any call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _current_index(self, connection: sqlite3.Connection) -> Index:
        """By which the file is searched as it is now."""
        from audit_stream.logfile.index import Index  # the filter language: 38 ms to import, not before the first page

        version = self._version(connection)
        if self._index is None or self._index[0] != version:
            self._index = version, Index(connection)
        return self._index[1]

    def _version(self, connection: sqlite3.Connection) -> Version:
        return self._identity, int(connection.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connected()
        except StoreError as error:
            raise ClientError(str(error)) from None
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a message that quotes a damaged schema is no UTF-8
            raise ClientError(f"cannot read {self._path}: {_why(error, self._path)}") from None
        except OSError as error:
            raise ClientError(f"cannot read {self._path}: {error.strerror}") from None
        except (TypeError, ValueError, OverflowError) as error:  # of tables rebuilt without their types
            raise ClientError(f"{self._path} holds what no daemon writes: {error}") from None

    def _connected(self) -> sqlite3.Connection:
        """A connection to the file that the path names now."""
        if not self._path.is_file():
            missing = "is no file" if self._path.exists() else "does not exist"
            raise ClientError(f"{self._path} {missing}: give a daemon's database file")
        status = self._path.stat()
        identity = status.st_dev, status.st_ino
        if self._connection is None or identity != self._identity:
            self.close()
            connection = open_reader(self._path)
            try:
                if _has_no_table(connection) and _lacks_log(self._path):
                    raise ClientError(
                        f"{self._path} holds nothing, and {write_ahead_log_of(self._path).name}, which belongs to it, "
                        "is not beside it: copy that file too"
                    )
                check(connection, self._path)
                last_event(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._identity, self._index = connection, identity, None
        return self._connection


def _lacks_log(path: Path) -> bool:
    """Whether a daemon writes events into a log beside this file first, and there is none with anything in it.

    Every reader leaves an empty one behind.
    """
    with path.open("rb") as file:
        header = file.read(20)
    log = write_ahead_log_of(path)
    return header[_VERSIONS] == _WAL_MODE and not (log.exists() and log.stat().st_size)


def _has_no_table(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA schema_version").fetchone()[0] == 0)


def _why(error: Exception, path: Path) -> str:
    log = write_ahead_log_of(path)
    if log.exists() and not os.access(path.absolute().parent, os.W_OK):
        return f"{error}; its newest events are in {log.name}: copy both to a directory that can be written to"
    return "its schema is damaged" if isinstance(error, UnicodeDecodeError) else str(error)
