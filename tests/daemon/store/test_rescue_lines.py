"""The events that only memory has, as lines, when no database can be made of them."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import cast

import pytest

from audit_daemon.store.rescue import Unsaved, rescue
from audit_stream.canonical import UnlinkedEvent, canonical_bytes, hash_of
from audit_stream.chain import GENESIS_HASH, ChainedEvent, Head

FIELDS = {
    "event_id": 1,
    "kind": "other",
    "payload": {},
    "prev_hash": GENESIS_HASH,
    "source": "test",
    "timestamp": "2026-01-01T00:00:00.000Z",
}
HASH = hash_of(canonical_bytes(FIELDS))


def rescued(database: Path) -> tuple[Path | None, str]:
    """With a database of which nothing can be read."""
    database.write_bytes(b"no database")
    canonical, unsaved = canonical_bytes(FIELDS), Unsaved()
    prepared = cast(UnlinkedEvent, None)  # not looked at
    unsaved.add([ChainedEvent(1, prepared, canonical, HASH)])
    descriptor, connection = os.open(database, os.O_RDONLY), sqlite3.connect(database)
    try:
        return rescue(database, descriptor, connection, unsaved, Head(2, "f" * 64))
    finally:
        os.close(descriptor)
        connection.close()


def test_they_are_whole_private_and_named_with_why_it_is_no_database(tmp_path: Path) -> None:
    path, told = rescued(tmp_path / "audit.db")
    assert path is None
    (lines,) = tmp_path.glob("*.ndjson")
    assert f"events #1 to #2 are in {lines}; those before could not be saved" in told
    assert lines.read_bytes() == canonical_bytes(FIELDS)[:-1] + b',"hash":"' + HASH.encode() + b'"}\n'
    assert stat.S_IMODE(lines.stat().st_mode) == 0o600
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".db", ".ndjson"]


def test_where_they_cannot_be_written_either_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path, told = rescued(tmp_path / "audit.db")
    assert (path, told.partition(":")[0]) == (None, "nothing could be saved")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["audit.db"]
