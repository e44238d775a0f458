"""The tables of the file, and whether a file has just these.

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

import sqlite3
from contextlib import closing
from functools import cache

__all__ = ["TABLES", "difference", "text_of"]

TABLES = """
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


_STATISTICS = {("sqlite_stat1", "table"), ("sqlite_stat4", "table")}
"""What ANALYZE makes; it tells SQLite how to look for something, never what it finds."""

_Definition = tuple[str, str, str, str]
"""Name, type, table and SQL text."""


def difference(connection: sqlite3.Connection) -> str | None:
    """What the file has that is not ours, lacks, or has otherwise; None when it has our tables and nothing else.

    A trigger can drop what is inserted, an index can hide events, and a table without types can hold what queries do
    not find. A trigger may have the name of a table, and any name by `writable_schema`. In another encoding than ours
    bytes that are taken for text are another text.
    """
    found, ours = _definitions(connection), _ours()
    names = {name for name, *_ in found}
    for definition in ours:
        if definition not in found:
            return f"{definition[0]} is {'another' if definition[0] in names else 'missing'}"
        found.remove(definition)
    others = [name for name, type_, *_ in found if (name, type_) not in _STATISTICS]
    if others:
        return f"{others[0]} is not ours"
    encoding = text_of(connection.execute("PRAGMA encoding").fetchone()[0])
    return None if encoding == "UTF-8" else f"text is encoded as {encoding}"


def _definitions(connection: sqlite3.Connection) -> list[_Definition]:
    """In the file's order; blanks and line breaks do not count."""
    rows = connection.execute("SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    texts = ((text_of(value) for value in row) for row in rows)
    return [(name, type_, table, " ".join(sql.split())) for name, type_, table, sql in texts]


def text_of(value: object) -> str:
    """A column's text, of a connection that gives bytes for it, too; a forged one need not be UTF-8, or be there."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


@cache
def _ours() -> tuple[_Definition, ...]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        return tuple(_definitions(connection))
