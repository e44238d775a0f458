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

import msgspec

from audit_stream.chain import GENESIS, Head
from audit_stream.client import OtherHistory, Stats
from audit_stream.errors import ClientError
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.opening import check, open_reader
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.served import served_event
from audit_stream.logfile.spans import SPAN_EVENTS, Spans

if TYPE_CHECKING:
    from audit_stream.logfile.query import Criteria

__all__ = ["MAX_ID", "DatabaseFile", "Found", "Version"]

MAX_ID = 2**63 - 1

_WINDOW_IDS = 16_384
"""Looked through at a time: some 0.2 s for the slowest filter, after which others have their turn."""

_VERSIONS, _WAL_MODE = slice(18, 20), b"\2\2"
"""In the file's header (https://www.sqlite.org/fileformat.html, 1.3.3)."""

Version = tuple[tuple[int, int], int]
"""Which file it is, and a number that changes when another connection has written to it."""


class Found(msgspec.Struct, frozen=True):
    """Events in reading order by their rows' ids, and the last id that was looked at: None when nothing is left."""

    events: list[tuple[int, bytes]]
    reached: int | None


class DatabaseFile:
    """All methods belong to one thread and raise ClientError and nothing else. It follows a file that is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._can_filter = False
        self._series = SeriesRegistry()
        self._spans = Spans()
        self._loaded: tuple[Version, int] | None = None

    def version(self) -> Version:
        """Costs two system calls."""
        with self._open() as connection:
            return self._version(connection)

    def last(self) -> Head:
        """The last event that is there, whatever the file's own record of its head says."""
        with self._open() as connection:
            return _last(connection)

    def confirm(self, place: Head | None) -> tuple[Head, OtherHistory | None]:
        """Where to go on after `place` (its hash may be ""), or at the end, and whether the file still holds it."""
        with self._open() as connection:
            last = _last(connection)
            if place is None or place.event_id == 0:
                return last if place is None else GENESIS, None
            row = connection.execute(
                "SELECT hash FROM events WHERE event_id = ?", (min(place.event_id, MAX_ID),)
            ).fetchone()
        if row is None:
            gone = last.event_id < place.event_id
            return (last, OtherHistory(seen=place, head=last)) if gone else (place, None)
        there = Head(place.event_id, str(row[0]))
        return there, None if place.hash in ("", there.hash) else OtherHistory(seen=place, head=last)

    def stats(self) -> Stats:
        """Counts of the events that are there; by kind and source, as the file's own index numbers them."""
        with self._open() as connection:
            last = _last(connection)
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
            self._load(connection, last.event_id)
        by_kind: Counter[str] = Counter()
        by_source: Counter[str] = Counter()
        for (kind, source), number in self._series.counts().items():
            by_kind[kind] += number
            by_source[source] += number
        return Stats(
            count=count,
            last_event_id=last.event_id or None,
            latest_hash=last.hash if last.event_id else None,
            by_kind=dict(by_kind),
            by_source=dict(by_source),
            database_bytes=self._size(),
        )

    def event(self, event_id: int) -> bytes | None:
        """One event's bytes."""
        if not 0 < event_id <= MAX_ID:
            return None
        with self._open() as connection:
            row = connection.execute("SELECT canonical, hash FROM events WHERE event_id = ?", (event_id,)).fetchone()
        return None if row is None else _row_as_served(event_id, *row)

    def find(self, criteria: Criteria | None, low: int, high: int, *, forward: bool, limit: int) -> Found:
        """At most `limit` events with ids in [low, high]: one step of a search. `reached` says where to go on."""
        low, high = max(low, 1), min(high, MAX_ID)
        if low > high:
            return Found([], None)
        with self._open() as connection:
            if criteria is None:
                events = _between(connection, low, high, forward=forward, limit=limit)
                return Found(events, events[-1][0] if len(events) == limit else None)
            start = _next_id(connection, low, high, forward=forward)  # a hole, however wide, costs nothing
            if start is None:
                return Found([], None)
            if forward:
                low, high = start, min(high, start + _WINDOW_IDS - 1)
            else:
                low, high = max(low, start - _WINDOW_IDS + 1), start
            return self._search(connection, criteria, low, high, forward=forward, limit=limit)

    def refuse_bare(self) -> None:
        """Raise ClientError when the file is empty and without the log that a daemon writes events to first.

        A copy of the database alone looks so, and so does what a daemon leaves that was never sent an event.
        """
        with self._open() as connection:
            if _last(connection).event_id == 0 and _lacks_log(self._path):
                raise ClientError(
                    f"{self._path} holds no event and has no {_log_of(self._path).name} beside it, which holds the "
                    "newest events of a daemon: if this is a copy, copy that file too"
                )

    def close(self) -> None:
        """Release the file; any call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _search(
        self, connection: sqlite3.Connection, criteria: Criteria, low: int, high: int, *, forward: bool, limit: int
    ) -> Found:
        from audit_stream.filters import register
        from audit_stream.logfile.query import EventQuery
        from audit_stream.logfile.search import find_ids

        if not self._can_filter:
            register(connection)
            self._can_filter = True
        head_id = _last(connection).event_id
        self._load(connection, head_id)
        query = EventQuery(
            criteria=criteria, min_id=low, max_id=high, limit=limit, forward=forward, newest_first=not forward
        )
        page = find_ids(connection, query, series=self._series, spans=self._spans, head_id=head_id)
        rows = connection.execute(
            "SELECT event_id, canonical, hash FROM json_each(?) wanted JOIN events ON event_id = wanted.value"
            " ORDER BY wanted.key",
            (msgspec.json.encode(page.ids).decode(),),
        )
        reached = page.ids[-1] if page.more else high if forward else low
        return Found(
            [(event_id, _row_as_served(event_id, canonical, hash_)) for event_id, canonical, hash_ in rows], reached
        )

    def _load(self, connection: sqlite3.Connection, head_id: int) -> None:
        """Have the series and spans as the file has them now."""
        wanted = (self._version(connection), head_id)
        if wanted != self._loaded:
            self._series.load(connection)
            self._spans = Spans()
            (stored,) = connection.execute("SELECT count(*) FROM spans").fetchone()
            if stored == head_id // SPAN_EVENTS:  # else all is read: a forged id must not ask for spans without end
                self._spans.load(connection, head_id)
            self._loaded = wanted

    def _version(self, connection: sqlite3.Connection) -> Version:
        return self._identity, int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _size(self) -> int:
        parts = (self._path, _log_of(self._path))
        return sum(part.stat().st_size for part in parts if part.exists())

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
                connection.text_factory = _text
                if _has_no_table(connection) and _lacks_log(self._path):
                    raise ClientError(
                        f"{self._path} holds nothing, and {_log_of(self._path).name}, which belongs to it, is not "
                        "beside it: copy that file too"
                    )
                check(connection, self._path)
                _last(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._identity, self._can_filter, self._loaded = connection, identity, False, None
        return self._connection


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _lacks_log(path: Path) -> bool:
    """Whether a daemon writes events into a log beside this file first, and there is none with anything in it.

    Every reader leaves an empty one behind.
    """
    with path.open("rb") as file:
        header = file.read(20)
    log = _log_of(path)
    return header[_VERSIONS] == _WAL_MODE and not (log.exists() and log.stat().st_size)


def _has_no_table(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA schema_version").fetchone()[0] == 0)


def _why(error: Exception, path: Path) -> str:
    log = _log_of(path)
    if log.exists() and not os.access(path.absolute().parent, os.W_OK):
        return f"{error}; its newest events are in {log.name}: copy both to a directory that can be written to"
    return "its schema is damaged" if isinstance(error, UnicodeDecodeError) else str(error)


def _text(value: bytes) -> str:
    """A column's text; a forged one need not be UTF-8."""
    return value.decode("utf-8", "backslashreplace")


def _last(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT event_id, hash FROM events ORDER BY event_id DESC LIMIT 1").fetchone()
    return GENESIS if row is None or row[0] < 1 else Head(row[0], str(row[1]))


def _next_id(connection: sqlite3.Connection, low: int, high: int, *, forward: bool) -> int | None:
    first: int | None
    (first,) = connection.execute(
        f"SELECT {'min' if forward else 'max'}(event_id) FROM events WHERE event_id BETWEEN ? AND ?",  # noqa: S608 - two words
        (low, high),
    ).fetchone()
    return first


def _between(
    connection: sqlite3.Connection, low: int, high: int, *, forward: bool, limit: int
) -> list[tuple[int, bytes]]:
    rows = connection.execute(
        "SELECT event_id, canonical, hash FROM events WHERE event_id BETWEEN ? AND ?"  # noqa: S608 - one of two words
        f" ORDER BY event_id {'ASC' if forward else 'DESC'} LIMIT ?",
        (low, high, limit),
    )
    return [(event_id, _row_as_served(event_id, canonical, hash_)) for event_id, canonical, hash_ in rows]


def _row_as_served(event_id: int, canonical: object, hash_: object) -> bytes:
    """The row as a daemon serves it, also if its columns are not what a daemon writes."""
    event = canonical if isinstance(canonical, bytes) else str(canonical).encode("utf-8", "backslashreplace")
    return served_event(event_id, event, str(hash_))
