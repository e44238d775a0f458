"""Events are read from a database's pages, whatever state these are in."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from audit_daemon.store.pages import events_in_pages
from audit_stream.canonical import read_envelope
from audit_stream.logfile.opening import open_reader
from tests.daemon.store.rig import build, event, stored

SIZES = [1, 10, 3_000, 4_000, 4_061, 4_100, 8_000, 20_000, 65_000]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of events of all sizes: rows in one page, and rows that go on in overflow pages."""
    path = tmp_path_factory.mktemp("pages") / "audit.db"
    build(path, [event(payload={"text": "x" * SIZES[number % len(SIZES)]}) for number in range(400)])
    with closing(open_reader(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return path


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_every_event_is_found_in_order(database: Path) -> None:
    with opened(database) as descriptor:
        found = list(events_in_pages(descriptor))
    assert found == [row[:2] for row in stored(database)]


@pytest.mark.parametrize("seed", range(12))
def test_of_a_damaged_file_only_true_events_are_found(database: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(database.read_bytes())
    for _ in range(40):
        at = chance.randrange(len(content))
        content[at : at + 200] = chance.randbytes(min(200, len(content) - at))
    damaged = tmp_path / "audit.db"
    damaged.write_bytes(content[: chance.randrange(len(content))] if seed % 3 == 0 else content)
    truth = {row[0]: row[1] for row in stored(database)}
    with opened(damaged) as descriptor:
        found = list(events_in_pages(descriptor))
    assert [event_id for event_id, _ in found] == sorted({event_id for event_id, _ in found})
    for _, canonical in found:
        assert truth[read_envelope(canonical).event_id] == canonical


@pytest.mark.parametrize("content", [b"", b"\0", b"SQLite format 3\0", bytes(5_000), b"\x0d" * 9_000])
def test_of_what_is_no_database_nothing_is_found(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "audit.db"
    path.write_bytes(content)
    with opened(path) as descriptor:
        assert list(events_in_pages(descriptor)) == []
