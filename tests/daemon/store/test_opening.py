"""Opening: what an open store takes over from its file, and files that are no store."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import sqlite3
import stat
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from audit_daemon.store import schema
from audit_daemon.store.bulk import write_chain
from audit_daemon.store.protocol import StoreLocked
from audit_daemon.store.sqlite import SqliteStore
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.opening import APPLICATION_ID, SCHEMA_VERSION
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import SPAN_EVENTS, Spans
from audit_stream.logfile.verification import verify_file
from tests.daemon.store.rig import Follower, assert_whole, build, event, events, in_store, opened, stored

PAIRS = [("other", "a"), ("other", "b"), ("request_denied", "a"), ("watch_drifted", "c")]


def mixed(count: int) -> list[tuple[str, str]]:
    return [PAIRS[(number * number) % len(PAIRS)] for number in range(count)]


def test_a_reopened_store_goes_on_where_it_ended(tmp_path: Path) -> None:
    path, pairs = tmp_path / "audit.db", mixed(3_000)
    head = build(path, [event(n, kind=kind, source=source) for n, (kind, source) in enumerate(pairs[:2_000])])

    async def body(store: SqliteStore, _: Follower) -> None:
        assert store.head == head
        assert dict(store.counts()) == Counter(pairs[:2_000])
        for n, (kind, source) in enumerate(pairs[2_000:]):
            await store.append([event(n, kind=kind, source=source)])
        assert dict(store.counts()) == Counter(pairs)
        assert_whole(path, store.head)

    in_store(path, body)


def steps(path: Path) -> int:
    """SQLite's virtual machine steps, in tens, for what a start reads of the log."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    with closing(sqlite3.connect(path)) as connection:
        (head_id,) = connection.execute("SELECT event_id FROM head").fetchone()
        connection.set_progress_handler(tick, 10)
        SeriesRegistry().load(connection)
        Spans().load(connection, head_id)
    return count


def test_a_start_reads_no_more_of_a_log_ten_times_as_long(tmp_path: Path) -> None:
    """But for one row in 1,024."""
    short, long = tmp_path / "short.db", tmp_path / "long.db"
    build(short, events(2 * SPAN_EVENTS + 10))
    build(long, *(events(5 * SPAN_EVENTS) for _ in range(4)), events(10))
    assert steps(long) < 2 * steps(short)


TAMPERS = {
    "a head that is behind": "UPDATE head SET event_id = 7",
    "a head with another hash": "UPDATE head SET hash = printf('%064d', 0)",
    "a head that is ahead": "UPDATE head SET event_id = 9000",
    "no head": "DELETE FROM head",
    "an event gone": "DELETE FROM events WHERE event_id = 500",
    "the last events gone": "DELETE FROM events WHERE event_id > 1900",
    "an event inserted": "INSERT INTO events SELECT 0, series_id, series_seq, time_ms, hash, canonical"
    " FROM events WHERE event_id = 9",
    "a series gone": "DELETE FROM series WHERE series_id = 2",
    "a series renamed": "UPDATE series SET kind = 'breaker_opened' WHERE series_id = 1",
    "a span gone": "DELETE FROM spans WHERE span = 0",
    "all spans gone": "DELETE FROM spans",
    "a span that is not due": "INSERT INTO spans VALUES (1, 0, 0)",
    "bytes edited": "UPDATE events SET canonical = x'00' WHERE event_id = 2000",
}


@pytest.mark.parametrize("tamper", TAMPERS)
def test_a_log_that_was_tampered_with_still_takes_new_events_and_stays_broken(tmp_path: Path, tamper: str) -> None:
    """Losing new evidence would be worse."""
    path = tmp_path / "audit.db"
    build(path, [event(n, kind=kind, source=source) for n, (kind, source) in enumerate(mixed(2_000))])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(TAMPERS[tamper])
        connection.commit()
    broken_at = verify_file(path).first_break_at
    assert broken_at is not None

    async def body(store: SqliteStore, _: Follower) -> None:
        for number in range(3):
            await store.append(events(100, first=5_000 + 100 * number, source=f"new-{number}"))
        await store.append([event(n, kind=kind, source=source) for n, (kind, source) in enumerate(PAIRS)])

    in_store(path, body)
    assert sum(b'"number":5' in canonical for _, canonical, _ in stored(path)) >= 300
    if tamper not in ("a head that is behind", "a span that is not due"):  # which new events set right
        assert verify_file(path).valid is False


def test_a_second_store_on_the_same_file_is_refused_by_any_of_its_names(tmp_path: Path) -> None:
    path, other = tmp_path / "audit.db", tmp_path / "other" / "link.db"
    other.parent.mkdir()
    other.symlink_to(path)

    async def body(store: SqliteStore, _: Follower) -> None:
        for name in (path, other, tmp_path / "other" / ".." / "audit.db"):
            with pytest.raises(StoreLocked, match=rf"process {os.getpid()}\) writes to .*audit\.db"):
                SqliteStore(name, loop=asyncio.get_running_loop())
        await store.append([event(1)])

    in_store(path, body)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_file_system_that_refuses_locks_is_not_called_another_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("fcntl.flock", refuse)
        with pytest.raises(StoreUnusable, match=rf"refuses locks \({os.strerror(code)}\): put the database on a local"):
            in_store(tmp_path / "audit.db", _nothing)
    build(tmp_path / "audit.db", [event(1)])


@pytest.mark.parametrize("name", ["audit.db", "other/link.db", "other/../audit.db"])
def test_an_import_beside_an_open_store_is_refused_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    path, other = tmp_path / "audit.db", tmp_path / "other" / "link.db"
    other.parent.mkdir()
    other.symlink_to(path)

    async def body(store: SqliteStore, _: Follower) -> None:
        with pytest.raises(StoreLocked):
            write_chain(tmp_path / name, [])
        await store.append([event(1)])

    in_store(path, body)


async def test_a_store_that_cannot_be_opened_whole_leaves_nothing_open(tmp_path: Path) -> None:
    def refuse(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("no writer today")

    threads = set(threading.enumerate())
    with pytest.raises(StoreUnusable, match="no writer today"):
        SqliteStore(tmp_path / "audit.db", loop=asyncio.get_running_loop(), open_writer=refuse)
    assert set(threading.enumerate()) == threads
    async with opened(tmp_path / "audit.db") as (store, _):
        await store.append([event(1)])


def test_a_file_with_a_second_name_is_refused_because_its_lock_has_only_one(tmp_path: Path) -> None:
    build(tmp_path / "audit.db", [event(1)])
    (tmp_path / "other.db").hardlink_to(tmp_path / "audit.db")
    with pytest.raises(StoreUnusable, match="has another name"):
        in_store(tmp_path / "other.db", _nothing)


def test_a_log_without_its_database_is_not_the_beginning_of_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    path.with_name("audit.db-wal").write_bytes(b"newest events")
    with pytest.raises(StoreUnusable, match="newest events of a database that was moved or deleted"):
        in_store(path, _nothing)
    assert not path.exists()


async def _nothing(store: SqliteStore, _: Follower) -> None:
    raise AssertionError("it must not open")


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def _text(path: Path) -> None:
    path.write_text("what a surprise\n" * 100)


def _directory(path: Path) -> None:
    path.mkdir()


def _under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


def _headless(path: Path) -> None:
    build(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM head")
        connection.commit()


def _tables_gone(path: Path) -> None:
    build(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE events")


def _truncated(path: Path) -> None:
    build(path, events(500))
    os.truncate(path, 10_000)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_foreign, "is a database, but not one of audit-stream: give another file with --db"),
        (_newer, f"has format {SCHEMA_VERSION + 1}; this audit-stream reads format {SCHEMA_VERSION}"),
        (_text, "file is not a database"),
        (_directory, "Is a directory"),
        (_under_a_file, "cannot create"),
        (_headless, "the record of the log's head is gone"),
        (_tables_gone, "events is missing"),
        (_truncated, "malformed"),
    ],
)
def test_a_file_that_cannot_be_the_store_is_refused_with_the_reason_and_left_alone(
    tmp_path: Path, make: object, reason: str
) -> None:
    path = tmp_path / "place" / "audit.db"
    path.parent.mkdir()
    assert callable(make)
    make(path)
    before = path.read_bytes() if path.is_file() else None

    async def scenario() -> None:
        for _ in range(2):  # the lock is given back, too
            with pytest.raises(StoreUnusable, match=reason):
                SqliteStore(path, loop=asyncio.get_running_loop())

    asyncio.run(scenario())
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
async def test_a_place_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o500)

    for path in (place / "audit.db", place / "deeper" / "audit.db"):
        with pytest.raises(StoreUnusable, match=r"cannot create .*: Permission denied"):
            SqliteStore(path, loop=asyncio.get_running_loop())


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    path.touch()
    head = build(path, [event(1)])
    assert_whole(path, head)


def test_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "typo" / "audit.db"
    with pytest.raises(StoreUnusable, match=f"cannot create {path}: there is no directory {path.parent}$"):
        build(path, [event(1)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_place_where_nothing_can_be_written_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evidence" / "audit.db"
    path.parent.mkdir()
    build(path, [event(n) for n in range(10)])
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    before = set(path.parent.iterdir())
    assert verify_file(path).valid
    assert set(path.parent.iterdir()) == before


def test_a_new_log_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.db"
    schema.prepare_directory(path)

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(1)])
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        assert modes == dict.fromkeys(
            ("audit.db", "audit.db-wal", "audit.db-shm", "audit.db.lock", "audit.db.head"), 0o600
        )
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    in_store(path, body)


def _a_link(path: Path, other: Path) -> None:
    path.symlink_to(other)


def _a_hard_link(path: Path, other: Path) -> None:
    os.link(other, path)


def _a_link_to_nothing(path: Path, other: Path) -> None:
    path.symlink_to(other.with_name("nowhere"))


def _a_pipe(path: Path, other: Path) -> None:
    os.mkfifo(path)


def _a_directory(path: Path, other: Path) -> None:
    path.mkdir()


def _an_endless_file(path: Path, other: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", ".head", ".lock"])
@pytest.mark.parametrize(
    "put",
    [_a_link, _a_hard_link, _a_link_to_nothing, _a_pipe, _a_directory, _an_endless_file],
    ids=lambda put: put.__name__,
)
def test_what_somebody_else_put_in_the_place_of_a_file_of_ours_is_named_and_not_written_to(
    tmp_path: Path, suffix: str, put: Callable[[Path, Path], None]
) -> None:
    path, other = tmp_path / "log" / "audit.db", tmp_path / "precious"
    path.parent.mkdir()
    build(path, events(3))
    other.write_text("precious" * 20)
    beside = path.with_name(path.name + suffix)
    beside.unlink(missing_ok=True)
    put(beside, other)
    refusal = f"{re.escape(str(beside))} is .*, which the daemon must not write into"
    with pytest.raises(StoreUnusable, match=refusal):
        build(path, events(1))
    with pytest.raises(StoreUnusable, match=refusal):
        write_chain(path, [])
    assert other.read_text() == "precious" * 20
    assert not other.with_name("nowhere").exists()
    beside.rmdir() if put is _a_directory else beside.unlink()
    assert len(stored(path)) == 3


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_or_index_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / "audit.db"
    build(path, events(1))
    beside = path.with_name(path.name + suffix)
    beside.touch()
    access = os.access
    monkeypatch.setattr("os.access", lambda at, mode: Path(at) != beside and access(at, mode))  # root may do anything
    with pytest.raises(StoreUnusable, match=f"{beside} cannot be read and written by this user"):
        build(path, events(1))


def test_a_lock_that_leads_to_the_log_does_not_destroy_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    head = build(path, events(3))
    path.with_name("audit.db.lock").unlink()
    path.with_name("audit.db.lock").symlink_to(path)
    with pytest.raises(StoreUnusable, match="a link to another file"):
        build(path, events(1))
    assert_whole(path, head)


def test_an_import_by_another_name_of_the_file_keeps_the_record_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    path, link = tmp_path / "audit.db", tmp_path / "other" / "link.db"
    build(path, events(3))
    path.unlink()
    link.symlink_to(path)
    with pytest.raises(StoreUnusable, match="event #3 was acknowledged"):
        write_chain(link, [])
    path.with_name("audit.db.head").unlink()
    write_chain(link, [])
    assert [each.name for each in link.parent.iterdir()] == ["link.db"]
