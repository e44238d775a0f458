"""What somebody who can write the file could do, done to a copy of it: plain SQL, and what it changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from audit_stream.canonical import hash_of, read_envelope

__all__ = ["EDITED_KIND", "Edit", "Rehash", "copy_database", "edit_an_event", "rehash_event"]

EDITED_KIND = "request_denied"

_SELECT = "SELECT canonical, hash FROM events WHERE event_id = ?"
_EDIT = """UPDATE events
SET canonical = CAST(replace(canonical, '"deny"', '"allow"') AS BLOB)
WHERE event_id = {event_id}"""
_REHASH = """UPDATE events
SET hash = '{hash}'
WHERE event_id = {event_id}"""


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A value of an event's payload that was edited, and the SQL that did it."""

    event_id: int
    kind: str
    source: str
    key: str
    old: str
    new: str
    sql: str


class Rehash(msgspec.Struct, frozen=True, kw_only=True):
    """An event's hash that was made to fit its edited content, and the SQL that did it."""

    old: str
    new: str
    sql: str


def copy_database(database: Path, copy: Path) -> None:
    """Copy a file that a daemon is writing to. By SQLite's backup: what is still in the write-ahead log comes along."""
    with (
        closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def edit_an_event(database: Path) -> Edit:
    """Turn the denial nearest to the middle of the log into a permission; needs one that is not the last event."""
    with closing(sqlite3.connect(database)) as connection, connection:
        (event_id,) = connection.execute(
            "SELECT e.event_id FROM events e JOIN series s USING (series_id), head h"
            " WHERE s.kind = ? AND e.event_id < h.event_id ORDER BY abs(2 * e.event_id - h.event_id) LIMIT 1",
            (EDITED_KIND,),
        ).fetchone()
        before, _ = connection.execute(_SELECT, (event_id,)).fetchone()
        sql = _EDIT.format(event_id=event_id)
        connection.execute(sql)
        after, _ = connection.execute(_SELECT, (event_id,)).fetchone()
    old, new = _payload(before), _payload(after)
    key = next(key for key in old if old[key] != new[key])
    envelope = read_envelope(before)
    return Edit(
        event_id=event_id, kind=envelope.kind, source=envelope.source, key=key, old=old[key], new=new[key], sql=sql
    )


def rehash_event(database: Path, event_id: int) -> Rehash:
    """Make the event's hash fit its bytes."""
    with closing(sqlite3.connect(database)) as connection, connection:
        canonical, old = connection.execute(_SELECT, (event_id,)).fetchone()
        new = hash_of(canonical)
        sql = _REHASH.format(hash=new, event_id=event_id)
        connection.execute(sql)
    return Rehash(old=old, new=new, sql=sql)


def _payload(canonical: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(read_envelope(canonical).payload)
    return payload
