"""Saving what was acknowledged when the store's files were deleted, replaced or cut under the daemon.

The database file as of the last checkpoint that was completed, and the events since, which are kept in memory, are
everything. Where the file itself lost something, as in the middle of a checkpoint, the open connection may still read
the write-ahead log that has no name any more, or where that was cut, its pages still hold the rows (`pages.py`). The
result is a database like any other, written once and verified.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from audit_daemon.store import bulk, schema
from audit_daemon.store.pages import events_in_pages
from audit_stream.canonical import hash_of, splice_hash
from audit_stream.chain import GENESIS_HASH, ChainedEvent, Head
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.opening import open_reader
from audit_stream.logfile.reader import load_head
from audit_stream.logfile.verification import verify_file
from audit_stream.whole_file import WholeFile, sync_directory

__all__ = ["KEPT_EVENTS", "KeyRow", "Unsaved", "rescue"]

_MAX_UNSAVED_BYTES = 64 << 20
"""What is kept at most; reached only while a reader that does not end keeps checkpoints from being completed."""

KEPT_EVENTS = 256
"""What stays when a checkpoint was completed: the next one may move the rows of the log's last page elsewhere."""

_EVENT_OVERHEAD_BYTES = 64
_COPY_BYTES = 1 << 20
_PAGE_EVENTS = 1_000

_KEY = "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?)"

KeyRow = tuple[str, str, bytes, int, int, int]
"""A row of `idempotency`."""


class Unsaved:
    """Acknowledged events, consecutive ones, that the database file may not hold yet. Shares their bytes."""

    def __init__(self) -> None:
        self._events: deque[bytes] = deque()
        self._last_id = 0
        self._size_bytes = 0
        self.keys: list[KeyRow] = []

    @property
    def first_id(self) -> int:
        """The first event that is kept."""
        return self._last_id - len(self._events) + 1

    def add(self, linked: Sequence[ChainedEvent], keys: Sequence[KeyRow] = ()) -> None:
        """Keep a commit's events and retry keys; the oldest go when there is no room for all."""
        self._events += (event.canonical for event in linked)
        self._last_id = linked[-1].event_id
        self._size_bytes += sum(len(event.canonical) + _EVENT_OVERHEAD_BYTES for event in linked)
        while self._size_bytes > _MAX_UNSAVED_BYTES:
            self._forget_one()
        self.keys += keys

    def clear(self) -> None:
        """The database file holds everything: a checkpoint was completed."""
        while len(self._events) > KEPT_EVENTS:
            self._forget_one()
        self.keys.clear()

    def _forget_one(self) -> None:
        self._size_bytes -= len(self._events.popleft()) + _EVENT_OVERHEAD_BYTES

    def after(self, event_id: int) -> Iterator[bytes]:
        """The canonical bytes of the kept events after this one, in order."""
        for at, canonical in enumerate(self._events, self.first_id):
            if at > event_id:
                yield canonical


class _Incomplete(Exception):
    """What was read is not everything; the text says why."""


def rescue(
    database: Path, descriptor: int, connection: sqlite3.Connection, unsaved: Unsaved, head: Head
) -> tuple[Path | None, str]:
    """Write a database of everything up to `head`: its path, and what to know of it, as one sentence.

    None when it could not be done. `descriptor` and `connection` have the files open that the daemon began with.
    Blocks for as long as copying the database and verifying the copy take.
    """
    reasons = []
    places: tuple[Callable[[], Path], ...] = (lambda: database.parent, _elsewhere)
    name = f"{database.name}.rescue-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    saved = f"everything that was acknowledged, up to event #{head.event_id}, is in"
    for place in places:
        try:
            path = place() / name
        except OSError as error:
            reasons.append(str(error))
            continue
        part = path.with_name(f"{name}.part")
        doubt: str | None = None
        for write in (_from_file, _from_connection, _from_pages):
            try:
                with _new(part):
                    write(part, descriptor, connection, unsaved)
                    verdict = verify_file(part, acknowledged=head, workers=1)
                    if not verdict.valid and (doubt is not None or _head_of(part) != head):
                        raise _Incomplete(f"the copy does not verify: {verdict.reason}")
                    part.replace(path)  # under its name only when it is whole, also after a kill
                    sync_directory(path.parent)
            except (_Incomplete, StoreError, sqlite3.Error, OSError, ValueError, KeyError) as error:
                reasons.append(str(error))
            else:
                if verdict.valid:
                    return path, f"{saved} {path}"
                doubt = verdict.reason or ""
        if doubt is not None:  # it was so before: somebody had edited the log
            return path, f"{saved} {path}, but it does not verify: {doubt}"
        if place is _elsewhere:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
    for place in places:
        with contextlib.suppress(OSError):
            path = place() / f"{name}.ndjson"
            with WholeFile(path, replace=False) as file:
                for canonical in unsaved.after(0):
                    file.write(splice_hash(canonical, hash_of(canonical)) + b"\n")
                file.commit()
            return None, (
                f"events #{unsaved.first_id} to #{head.event_id} are in {path}; those before could not be saved "
                f"({reasons[0]}), a backup may hold them"
            )
    return None, f"nothing could be saved: {reasons[0]}"


def _elsewhere() -> Path:
    """A place of our own among the temporary files."""
    return Path(tempfile.mkdtemp(prefix="audit-stream-"))


@contextlib.contextmanager
def _new(path: Path) -> Iterator[None]:
    """Make an empty file for its user alone; it is removed again when the block fails."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield
    except BaseException:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                path.with_name(path.name + suffix).unlink()
        raise


def _from_file(path: Path, descriptor: int, connection: sqlite3.Connection, unsaved: Unsaved) -> None:
    """A copy of the database file, and the events since at its end."""
    with path.open("wb") as target:  # not by a second descriptor of the source: closing that would drop SQLite's locks
        at = 0
        while data := os.pread(descriptor, _COPY_BYTES, at):
            at += target.write(data)
        target.flush()
        os.fsync(target.fileno())
    with closing(schema.open_writer(path)) as copy:
        held = load_head(copy)
        bulk.append_events(copy, _linked(unsaved.after(held.event_id), held.hash))
        _finish(copy, unsaved)


def _from_connection(path: Path, descriptor: int, connection: sqlite3.Connection, unsaved: Unsaved) -> None:
    """A new database of the events that the open connection still reads, and those since at its end."""

    def events() -> Iterator[bytes]:
        rows = connection.execute(
            "SELECT canonical FROM events WHERE event_id < ? ORDER BY event_id", (unsaved.first_id,)
        )
        yield from (canonical for (canonical,) in rows)
        yield from unsaved.after(0)

    schema.create(path)
    with closing(schema.open_writer(path)) as copy:
        bulk.append_events(copy, _linked(events(), GENESIS_HASH))
        with contextlib.suppress(sqlite3.Error):
            copy.executemany(_KEY, connection.execute("SELECT * FROM idempotency").fetchall())
        _finish(copy, unsaved)


def _from_pages(path: Path, descriptor: int, connection: sqlite3.Connection, unsaved: Unsaved) -> None:
    """A new database of the events that lie in the file's pages, and those since at its end."""

    def events() -> Iterator[bytes]:
        rows = events_in_pages(descriptor)
        yield from (canonical for event_id, canonical in rows if event_id < unsaved.first_id)
        yield from unsaved.after(0)

    schema.create(path)
    with closing(schema.open_writer(path)) as copy:
        bulk.append_events(copy, _linked(events(), GENESIS_HASH))
        _finish(copy, unsaved)


def _linked(events: Iterator[bytes], prev_hash: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each event's canonical bytes and fields; raises when one does not follow the one before it."""
    for canonical in events:
        fields = msgspec.json.decode(canonical)
        if fields["prev_hash"] != prev_hash:
            raise _Incomplete(f"event #{fields['event_id']} does not follow the one before it")
        prev_hash = hash_of(canonical)
        yield canonical, {**fields, "hash": prev_hash}


def _finish(copy: sqlite3.Connection, unsaved: Unsaved) -> None:
    """Add the retry keys, and make it one file."""
    copy.executemany(_KEY, unsaved.keys)
    copy.execute("PRAGMA journal_mode = DELETE")


def _head_of(path: Path) -> Head:
    """Where the log in a file ends."""
    with closing(open_reader(path)) as connection:
        return load_head(connection)
