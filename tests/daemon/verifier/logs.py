"""Logs to tamper with: real files, made once, copied for each test."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from audit_stream.canonical import UnlinkedEvent, canonical_bytes, hash_of, prepare
from audit_stream.chain import Head
from tests.daemon.store.rig import START_MS, build, event

COUNT = 2_600
"""Two full spans of 1,024 events and one that is open."""

SERIES = [
    ("other", "test"),
    ("request_denied", "policy-as-code-engine"),
    ("request_allowed", "policy-as-code-engine"),
    ("other", "second"),
    ("watch_drifted", "aeo-validator-service"),
]


def sample(number: int) -> UnlinkedEvent:
    kind, source = SERIES[number % len(SERIES)]
    if number % 97 == 5:  # an imported event whose timestamp is not RFC 3339
        return prepare(kind=kind, source=source, payload={"n": number}, timestamp="15 May 2026", time_ms=None)
    if number % 10 == 0:
        return event(number, kind=kind, source=source, timestamp=f"2026-05-{number % 28 + 1:02}T03:14:15.5+02:00")
    return event(number, kind=kind, source=source, payload={"n": number, "prev_hash": "é", "s": 'a","source":"b'})


def make(path: Path, count: int = COUNT) -> Head:
    """A log of `count` events in a few commits, closed."""
    return build(path, *([sample(n) for n in range(start, min(start + 700, count))] for start in range(0, count, 700)))


def copy(original: Path, directory: Path) -> Path:
    return Path(shutil.copy(original, directory / "copy.db"))


@contextmanager
def editing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of someone who can write the file; committed on exit."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def edit(path: Path, *statements: str) -> None:
    with editing(path) as connection:
        for statement in statements:
            connection.execute(statement)


def rechain(connection: sqlite3.Connection, first_id: int, change: Callable[[bytes], bytes]) -> None:
    """Rewrite event `first_id`, then every later one's link and hash, and the head: a consistent forgery."""
    previous: str | None = None
    rows = connection.execute("SELECT event_id, canonical FROM events WHERE event_id >= ? ORDER BY 1", (first_id,))
    for event_id, canonical in rows.fetchall():
        forged = change(canonical) if event_id == first_id else relink(canonical, previous or "")
        previous = hash_of(forged)
        connection.execute(
            "UPDATE events SET canonical = ?, hash = ? WHERE event_id = ?",
            (forged, previous, event_id),
        )
    connection.execute("UPDATE head SET hash = ?", (previous,))


def relink(canonical: bytes, prev_hash: str) -> bytes:
    """The canonical bytes with another prev_hash."""
    at = canonical.rindex(b',"prev_hash":"') + len(b',"prev_hash":"')
    return canonical[:at] + prev_hash.encode() + canonical[at + 64 :]


def forged_next(connection: sqlite3.Connection, event_id: int, prev_hash: str) -> tuple[int, int, int, int, str, bytes]:
    """A row that a forger could append: of the first series, linked to `prev_hash`."""
    (seq,) = connection.execute("SELECT max(series_seq) + 1 FROM events WHERE series_id = 1").fetchone()
    fields = {
        "event_id": event_id,
        "kind": SERIES[0][0],
        "payload": {},
        "prev_hash": prev_hash,
        "source": SERIES[0][1],
        "timestamp": "2026-05-28T20:26:40.000+00:00",
    }
    canonical = canonical_bytes(fields)
    return event_id, 1, seq, START_MS, hash_of(canonical), canonical
