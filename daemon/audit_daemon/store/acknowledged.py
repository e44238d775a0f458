"""`<database>.head`: the last event that was acknowledged, beside the database.

A database that was deleted, or put back from an older copy, looks whole. What tells it from a log that has not come
further is this record: the daemon writes it after each commit, before a producer is told. It is not synced: it
survives the daemon's end, however that comes, and after a power failure it is at most older than the log, never ahead.
Where it was deleted with the rest while the daemon ran, it is written anew.

A start refuses a log that ends before the record. Who puts an older copy in place on purpose, removes the record.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path

import structlog

from audit_daemon.store.own_file import check_own, open_own
from audit_stream.chain import GENESIS, Head
from audit_stream.logfile.errors import StoreUnusable

__all__ = ["Acknowledged", "check_not_shorter"]

_log = structlog.get_logger(__name__)

_RECORD = re.compile(rb"([0-9]{20}) ([0-9a-f]{64})\n")


class Acknowledged:
    """The record of one database, open for writing. Raises StoreUnusable when it cannot be read."""

    def __init__(self, database: Path) -> None:
        self.path = _path_of(database)
        self._descriptor: int | None = None
        self._open()

    def _open(self) -> None:
        try:
            self._descriptor = open_own(self.path)
        except OSError as error:  # a full disk must not keep a daemon from starting
            _log.warning("cannot keep the record of the acknowledged head", path=str(self.path), reason=error.strerror)

    def write(self, head: Head) -> None:
        """Note that events up to `head` are on disk and may be acknowledged. In one write, so that it is never torn."""
        if self._descriptor is not None:
            try:
                os.pwrite(self._descriptor, b"%020d %b\n" % (head.event_id, head.hash.encode("ascii")), 0)
            except OSError as error:
                _log.warning("the record of the acknowledged head is behind from now on", reason=error.strerror)
                self.close()

    def keep(self, head: Head) -> None:
        """Write the record anew when it does not lie under its name any more."""
        if self._descriptor is None:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self.path.lstat(), os.fstat(self._descriptor)):
                    return
            _log.warning("the record of the acknowledged head was deleted or replaced", path=str(self.path))
            self.close()
            self._open()
            if self._descriptor is not None:
                os.ftruncate(self._descriptor, 0)
        except (OSError, StoreUnusable) as error:
            _log.warning("cannot keep the record of the acknowledged head", reason=str(error))
        self.write(head)

    def close(self) -> None:
        """Leave the record for the next start."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def check_not_shorter(database: Path, connection: sqlite3.Connection | None, head: Head) -> None:
    """Raise StoreUnusable when the log at `database`, which ends at `head`, lacks what was acknowledged.

    `connection` reads it; None when there is no database, or none that holds a log.
    """
    record = _read(database)
    if record.event_id == 0:
        return
    if head.event_id < record.event_id:
        end = f"ends at event #{head.event_id}" if head.event_id else "is missing or empty"
        raise StoreUnusable(f"{database} {end}, but event #{record.event_id} was acknowledged: {_advice(database)}")
    assert connection is not None
    row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (record.event_id,)).fetchone()
    held = {row[0] if row else None, head.hash if head.event_id == record.event_id else None} - {None}
    if held and record.hash not in held:  # an event that is missing among others is for verification to tell
        raise StoreUnusable(
            f"{database} holds another event #{record.event_id} than was acknowledged: {_advice(database)}"
        )


def _read(database: Path) -> Head:
    path = _path_of(database)
    check_own(path)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return GENESIS
    except OSError as error:
        raise StoreUnusable(f"cannot read {path}, the record of what was acknowledged: {error.strerror}") from error
    match = _RECORD.fullmatch(text)
    if match is None:
        if text.strip(b"\0"):
            raise StoreUnusable(f"{path} is no record of what was acknowledged: remove it to start without that check")
        return GENESIS  # made, but not written before a power failure
    return Head(int(match[1]), match[2].decode("ascii"))


def _path_of(database: Path) -> Path:
    return database.with_name(database.name + ".head")


def _advice(database: Path) -> str:
    """Where the rest may be, and how to go on without it."""
    rescued = []
    with contextlib.suppress(OSError):
        rescued = sorted(path.name for path in database.parent.glob(f"{database.name}.rescue-*[0-9Z]"))
    where = f"{rescued[-1]}, which the daemon has saved" if rescued else "a backup, or the -wal file that belongs to it"
    return (
        f"the file was deleted, cut, or put back from an older copy. Put the whole one in its place ({where}); "
        f"or, to go on without the rest, remove {_path_of(database).name}"
    )
