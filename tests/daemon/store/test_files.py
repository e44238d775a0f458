"""The store's files are deleted, replaced or cut under it: nothing is acknowledged, everything that was is saved."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audit_daemon.store.protocol import IdempotencyKey, StoreLocked, StoreUnavailable, StoreUnreadable
from audit_daemon.store.rescue import KEPT_EVENTS
from audit_daemon.store.sqlite import SqliteStore
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.query import EventQuery
from audit_stream.logfile.verification import verify_file
from tests.daemon.store.faulty import Faults
from tests.daemon.store.rig import Follower, assert_whole, build, event, events, in_store, opened, served, stored, until

KEY = IdempotencyKey(source="test", key="retry", digest=b"d" * 32)


def of(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _deleted(path: Path) -> None:
    path.unlink()


def _moved(path: Path) -> None:
    path.rename(path.with_name("moved"))


def _replaced_by_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def _replaced_by_nothing(path: Path) -> None:
    path.unlink()
    path.touch()


def _cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def _cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _cut_by_a_byte(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


RENAMES = [_deleted, _moved, _replaced_by_a_copy, _replaced_by_nothing]
CUTS = [_cut_to_nothing, _cut_in_half, _cut_by_a_byte]
FATES = [
    *((suffix, fate) for suffix in ("", "-wal", "-shm") for fate in RENAMES),
    *((suffix, fate) for suffix in ("", "-wal") for fate in CUTS),
]
Fate = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the files so often that no test has to wait for it; leave nothing among the temporary files."""
    monkeypatch.setattr("audit_daemon.store.writer._LOOK_INTERVAL_S", 0.02)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


async def saved(store: SqliteStore) -> Path:
    """Wait until the rescue file is written; returns it."""
    await until(lambda: "stop the daemon" in (store.health.problem or ""))
    problem = store.health.problem or ""
    rescue = Path(re.split(": stop|: copy|, but", problem.partition(" is in ")[2])[0])
    assert re.search(r"/audit\.db\.rescue-\d{8}T\d{6}Z(-2)?$", str(rescue)), problem
    await until(lambda: _readable(store))  # reads go on, from what was saved
    return rescue


def _readable(store: SqliteStore) -> bool:
    with contextlib.suppress(StoreUnreadable):
        return store.event(1) is not None
    return False


IDLE = "while nobody posts"


@pytest.mark.parametrize(
    ("suffix", "fate", "when"),
    [
        *((*fate, "before a post") for fate in FATES),
        *((suffix, _deleted, IDLE) for suffix in ("", "-wal", "-shm")),
        ("-wal", _cut_by_a_byte, IDLE),
    ],
)
def test_a_file_that_is_not_the_one_that_is_open_ends_acknowledging_and_everything_is_saved(
    tmp_path: Path, suffix: str, fate: Fate, when: str
) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, follower: Follower) -> None:
        await store.append(events(500))
        acknowledged = await store.append([event(1)], KEY)
        head = store.head
        fate(of(path, suffix))
        if when != IDLE:
            with pytest.raises(StoreUnavailable, match=r"was (deleted|replaced|cut)"):
                await store.append([event(2)])
        rescue = await saved(store)
        with pytest.raises(StoreUnavailable, match=rescue.name):
            await store.append([event(3)])
        assert store.head == head
        assert_whole(rescue, head)
        assert [row[0] for row in stored(rescue)] == list(range(1, head.event_id + 1))
        assert [each["event_id"] for each in await served(store, EventQuery(limit=3))] == [499, 500, 501]

        async def restarted(again: SqliteStore, _: Follower) -> None:
            assert again.head == head
            retry = await again.append([event(1)], KEY)
            assert (retry.replayed, retry.first_event_id) == (True, acknowledged.first_event_id)
            await again.append([event(4)])

        await asyncio.to_thread(in_store, rescue, restarted)

    in_store(path, body)


@pytest.mark.parametrize("fate", CUTS)
@pytest.mark.parametrize("size", [1, 700])
def test_a_log_that_is_cut_in_the_middle_of_a_commit_is_noticed_although_its_size_is_right_again(
    tmp_path: Path, fate: Fate, size: int
) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(1_000))
        head = store.head
        faults.hold()
        late = asyncio.ensure_future(store.append(events(size)))
        await until(faults.held.is_set)
        fate(of(path, "-wal"))
        faults.release()
        if fate is _cut_by_a_byte:  # a hole of a byte in the last page: the next look at the salt cannot see it
            late.cancel()
            return
        with pytest.raises(StoreUnavailable, match="was cut"):
            await late
        assert_whole(await saved(store), head)

    in_store(path, body, open_writer=faults.open_writer)


@pytest.mark.parametrize("commits", [1, 2, 10, 40])
def test_what_is_kept_in_memory_and_the_database_are_everything_wherever_the_last_checkpoint_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    monkeypatch.setattr("audit_daemon.store.checkpoint.CHECKPOINT_BYTES", 200_000)
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        for number in range(commits):
            await store.append(events(250, first=1_000 * number))
        head = store.head
        _cut_to_nothing(of(path, "-wal"))
        assert_whole(await saved(store), head)

    in_store(path, body)


def _copy_some_pages(database: Path, share: float) -> None:
    """What a checkpoint does that comes so far: the newest form of each page of the log, the lowest pages first."""
    log = of(database, "-wal").read_bytes()
    size = int.from_bytes(log[8:12])
    pages: dict[int, bytes] = {}
    for at in range(32, len(log) - size - 23, 24 + size):
        pages[int.from_bytes(log[at : at + 4])] = log[at + 24 : at + 24 + size]
    with database.open("r+b") as file:
        for number in sorted(pages)[: round(share * len(pages))]:
            file.seek((number - 1) * size)
            file.write(pages[number])


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9, 0.99, 1])
@pytest.mark.parametrize(("before", "since"), [(0, 300), (10, 10), (300, 2_000), (2_000, 300), (6_000, 6_000)])
def test_a_log_that_is_cut_in_the_middle_of_a_checkpoint_loses_nothing(
    tmp_path: Path, before: int, since: int, share: float
) -> None:
    path = tmp_path / "audit.db"
    if before:
        build(path, events(before))

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(0)], KEY)
        await store.append(events(since))
        head = store.head
        _copy_some_pages(path, share)
        _cut_to_nothing(of(path, "-wal"))
        assert_whole(await saved(store), head)

    in_store(path, body)


def test_what_an_operator_may_do_beside_a_daemon_is_no_alarm(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        for number, statement in enumerate(
            [
                "PRAGMA wal_checkpoint(TRUNCATE)",
                "VACUUM",
                "PRAGMA wal_checkpoint(TRUNCATE)",
                "PRAGMA wal_checkpoint(RESTART)",
                "VACUUM",
                "PRAGMA wal_checkpoint(FULL)",
                "ANALYZE",
                "REINDEX",
                f"VACUUM INTO '{tmp_path / 'copy.db'}'",
            ]
        ):
            await store.append(events(300, first=1_000 * number))
            with closing(sqlite3.connect(path, isolation_level=None)) as operator:
                operator.execute(statement)
                operator.execute("PRAGMA busy_timeout = 0")
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    operator.execute("PRAGMA journal_mode = DELETE")
            with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as operator:
                operator.execute("PRAGMA locking_mode = EXCLUSIVE")
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    operator.execute("UPDATE head SET event_id = 0")
            await store.append([event(number)])
            assert store.health.problem is None
        assert_whole(path, store.head)

    in_store(path, body)


def _ids_in(lines: Path) -> list[int]:
    return [json.loads(line)["event_id"] for line in lines.read_bytes().splitlines()]


@pytest.mark.parametrize("pages", [1, 2])
def test_a_log_that_begins_with_a_commit_of_few_pages_is_no_alarm(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "audit.db"
    one_page_each = ["PRAGMA user_version = 1", "INSERT INTO spans VALUES (9, 0, 0)"][:pages]

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(3))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
            connection.execute("BEGIN IMMEDIATE")
            for statement in one_page_each:
                connection.execute(statement)
            connection.execute("COMMIT")
        files = store._writer._files
        await until(lambda: files is not None and files._frames == pages)  # the daemon has looked
        await store.append(events(3))
        assert store.health.problem is None

    in_store(path, body)


def test_where_nothing_but_the_latest_can_be_saved_it_is_and_reads_are_refused(tmp_path: Path) -> None:
    """The database was cut below what memory holds, and the log's pages do not bring it back."""
    path = tmp_path / "audit.db"
    build(path, events(2_000))

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(3, first=5_000))
        _cut_to_nothing(path)
        await until(lambda: "stop the daemon" in (store.health.problem or ""))
        problem = store.health.problem or ""
        first = 2_001 - KEPT_EVENTS
        assert f"events #{first} to #2003 are in" in problem
        lines = Path(problem.partition("are in ")[2].partition(";")[0])
        assert _ids_in(lines) == list(range(first, 2_004))
        with pytest.raises(StoreUnreadable, match="was cut"):
            store.event(1)
        with pytest.raises(StoreUnreadable):
            await store.find(EventQuery(limit=3))

    in_store(path, body)


def test_where_its_directory_is_gone_everything_is_saved_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    path = tmp_path / "place" / "audit.db"
    path.parent.mkdir()

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(100))
        head = store.head
        shutil.rmtree(path.parent)
        rescue = await saved(store)
        assert elsewhere in rescue.parents
        problem = store.health.problem or ""
        assert problem.index("copy that file to where it lasts") < problem.index("stop the daemon")
        assert_whole(rescue, head)

    in_store(path, body)


def test_a_database_that_had_been_tampered_with_is_saved_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    build(path, events(100))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET canonical = x'00' WHERE event_id = 50")
        connection.commit()

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(3, first=5_000))
        _deleted(path)
        rescue = await saved(store)
        assert "it does not verify: hash mismatch at event #50" in (store.health.problem or "")
        assert len(stored(rescue)) == 103
        assert verify_file(rescue).first_break_at == 50

    in_store(path, body)


def test_a_log_that_is_cut_right_before_the_stop_is_saved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_daemon.store.writer._LOOK_INTERVAL_S", 1_000.0)
    path, heads = tmp_path / "audit.db", []

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(500))
        heads.append(store.head)
        _cut_in_half(of(path, "-wal"))

    in_store(path, body)
    (rescue,) = tmp_path.glob("*.rescue-*")
    assert_whole(rescue, heads[0])


@pytest.mark.chaos
@pytest.mark.parametrize("fate", [_cut_to_nothing, _cut_in_half, _deleted])
def test_everything_is_saved_whenever_the_log_is_lost_while_checkpoints_run_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: Fate
) -> None:
    """A checkpoint that was broken off leaves the database half old, half new."""
    monkeypatch.setattr("audit_daemon.store.checkpoint.CHECKPOINT_BYTES", 400_000)
    moments = random.Random(fate.__name__)
    for round_ in range(12):
        path = tmp_path / str(round_) / "audit.db"
        path.parent.mkdir()

        async def body(store: SqliteStore, _: Follower, path: Path = path) -> None:
            acknowledged: list[int] = []

            async def produce(number: int) -> None:
                with contextlib.suppress(StoreUnavailable):
                    for turn in range(10_000):
                        batch = events(moments.randint(1, 60), first=turn, source=f"producer-{number}")
                        acknowledged.append((await store.append(batch)).last_event_id)

            producers = [asyncio.ensure_future(produce(number)) for number in range(12)]
            wanted = moments.randint(500, 8_000)
            await until(lambda: store.head.event_id >= wanted)

            def strike() -> bool:
                """Again and again: a cut behind the frames that are in use is harmless, and not noticed."""
                with contextlib.suppress(FileNotFoundError):
                    fate(of(path, "-wal"))
                return store.health.problem is not None

            await until(strike)
            await asyncio.gather(*producers)
            rescue = await saved(store)
            assert_whole(rescue, store.head)
            assert max(acknowledged) == store.head.event_id

        in_store(path, body)


# What a start finds


def _another(path: Path) -> Path:
    build(path, events(900, source="another"))
    return path


LOSSES: dict[str, Callable[[Path, Path], object]] = {
    "the database deleted": lambda path, _: path.unlink(),
    "the database emptied": lambda path, _: os.truncate(path, 0),
    "an older copy put back": lambda path, older: shutil.copy(older, path),
    "another log put there": lambda path, _: _another(path.with_name("b")).rename(path),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_start_refuses_a_log_that_lacks_what_was_acknowledged(tmp_path: Path, loss: str) -> None:
    path, older = tmp_path / "audit.db", tmp_path / "older"
    build(path, events(300))
    shutil.copy(path, older)
    build(path, events(300))
    LOSSES[loss](path, older)
    before = path.read_bytes() if path.exists() else None
    for _ in range(2):
        with pytest.raises(StoreUnusable, match=r"event #600 (was|than was) acknowledged: .*remove audit\.db\.head"):
            build(path)
    assert (path.read_bytes() if path.exists() else None) == before
    of(path, ".head").unlink()  # on purpose
    build(path, events(1))


def test_a_start_refuses_a_log_whose_write_ahead_log_was_deleted_after_a_crash(tmp_path: Path) -> None:
    path, crashed = tmp_path / "audit.db", tmp_path / "crashed" / "audit.db"
    crashed.parent.mkdir()

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(300))
        for suffix in ("", "-wal", ".head"):
            shutil.copy(of(path, suffix), of(crashed, suffix))

    in_store(path, body)
    shutil.copytree(crashed.parent, tmp_path / "whole")
    assert_whole(tmp_path / "whole" / "audit.db", build(tmp_path / "whole" / "audit.db"))
    of(crashed, "-wal").unlink()
    with pytest.raises(StoreUnusable, match="event #300 was acknowledged"):
        build(crashed)


def test_a_copy_of_the_database_alone_is_a_log_like_any_other(tmp_path: Path) -> None:
    path, copy = tmp_path / "audit.db", tmp_path / "new host" / "audit.db"
    head = build(path, events(300))
    copy.parent.mkdir()
    shutil.copy(path, copy)
    assert build(copy) == head


@pytest.mark.parametrize("text", [b"", b"\0" * 86])
def test_a_record_that_a_power_failure_left_unwritten_says_nothing(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "audit.db"
    build(path, events(3))
    of(path, ".head").write_bytes(text)
    build(path, events(1))


@pytest.mark.parametrize("text", [b"what a surprise\n", b"9" * 86])
def test_a_record_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "audit.db"
    build(path, events(3))
    of(path, ".head").write_bytes(text)
    with pytest.raises(StoreUnusable, match=r"audit\.db\.head is no record of what was acknowledged"):
        build(path)


def test_the_record_is_of_the_last_acknowledged_event_at_any_time(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    def record() -> str:
        return of(path, ".head").read_text()

    async def body(store: SqliteStore, _: Follower) -> None:
        for number in range(3):
            await store.append(events(2, first=number))
            assert record() == f"{store.head.event_id:020} {store.head.hash}\n"
        faults.hold()
        late = asyncio.ensure_future(store.append(events(2)))
        await until(faults.held.is_set)
        assert record().startswith(f"{6:020} ")
        faults.release()
        await late

    in_store(path, body, open_writer=faults.open_writer)


def _delete(path: Path) -> None:
    of(path, ".head").unlink()


def _replace(path: Path) -> None:
    of(path, ".head").unlink()
    of(path, ".head").write_text("x" * 200)


@pytest.mark.parametrize("fate", [_delete, _replace])
def test_a_record_that_is_deleted_or_replaced_is_written_anew(tmp_path: Path, fate: Fate) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(2))
        fate(path)
        record = f"{2:020} {store.head.hash}\n"
        await until(lambda: of(path, ".head").exists() and of(path, ".head").read_text() == record)

    in_store(path, body)


def test_a_record_that_cannot_be_written_anew_keeps_nobody_from_appending(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(2))
        of(path, ".head").unlink()
        of(path, ".head").symlink_to(path)
        await store.append(events(2))

    in_store(path, body)  # the stop looks after the record once more
    assert verify_file(path).valid
    assert len(stored(path)) == 4


@pytest.mark.parametrize("busy", [False, True])
def test_a_lock_that_is_deleted_is_taken_anew_so_that_the_next_daemon_is_refused(tmp_path: Path, busy: bool) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        of(path, ".lock").unlink()
        while not of(path, ".lock").exists() or not of(path, ".lock").read_text():
            await (store.append([event(1)]) if busy else asyncio.sleep(0.002))
        with pytest.raises(StoreLocked, match=rf"process {os.getpid()}\) writes to"):
            SqliteStore(path, loop=asyncio.get_running_loop())

    in_store(path, body)
    build(path, [event(2)])  # it was released


def test_two_daemons_that_write_after_a_lock_was_deleted_lose_nothing_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    def another() -> SqliteStore:
        while True:
            of(path, ".lock").unlink(missing_ok=True)
            with contextlib.suppress(StoreLocked):  # the first was sooner
                return SqliteStore(path, loop=asyncio.get_running_loop())

    async def body(first: SqliteStore, _: Follower) -> None:
        second = another()
        acknowledged = 0
        for number in range(40):
            with contextlib.suppress(StoreUnavailable):
                await (first, second)[number % 2].append([event(number)])
                acknowledged += 1
        assert 20 <= acknowledged <= len(stored(path))
        await until(lambda: any(line["event"] == "the lock on the database is lost" for line in lines))
        await second.close()

    with capture_logs() as lines:
        in_store(path, body)
    assert verify_file(path).valid


@pytest.mark.parametrize("empty", [True, False])
def test_a_link_to_nothing_in_the_place_of_a_log_begins_no_empty_one(tmp_path: Path, empty: bool) -> None:
    path, new = tmp_path / "audit.db", tmp_path / "new.db"
    build(path, events(5))
    path.unlink()
    if empty:
        new.touch()
    path.symlink_to(new)
    with pytest.raises(StoreUnusable, match=r"audit\.db is missing or empty, but event #5 was acknowledged"):
        build(path, events(1))
    of(path, ".head").unlink()
    build(path, events(1))


def test_where_everything_was_deleted_under_a_daemon_no_empty_log_begins(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(5))
        for each in path.parent.glob("audit.db*"):
            each.unlink()
        await saved(store)

    in_store(path, body)
    with pytest.raises(
        StoreUnusable, match=r"event #5 was acknowledged.*audit\.db\.rescue-.*which the daemon has saved"
    ):
        build(path, events(1))


@pytest.mark.parametrize("table", ["events", "series", "spans", "idempotency"])
async def test_a_row_that_a_trigger_drops_is_not_acknowledged(tmp_path: Path, table: str) -> None:
    path = tmp_path / "audit.db"

    async with opened(path) as (store, _):
        await store.append(events(3))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"CREATE TRIGGER quiet BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END")
        for batch in (events(1_100, source="new"), [event(1, source="newer")]):
            if table != "spans" or len(batch) > 1:
                with pytest.raises(StoreUnavailable, match="there is a trigger that is not ours"):
                    await store.append(batch, KEY)
        assert store.head.event_id == len(stored(path))


@pytest.mark.parametrize(
    "trigger",
    [
        "CREATE TRIGGER quiet BEFORE UPDATE ON head BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER gone AFTER INSERT ON events BEGIN DELETE FROM events WHERE event_id = NEW.event_id; END",
        "CREATE TRIGGER other AFTER INSERT ON events BEGIN UPDATE events SET time_ms = 0; END",
        "CREATE TRIGGER even BEFORE INSERT ON events BEGIN UPDATE head SET one = one; UPDATE head SET one = one;"
        " SELECT RAISE(IGNORE); END",
        "DROP TRIGGER head_follows",
    ],
)
def test_an_event_beside_which_a_trigger_does_something_else_is_not_acknowledged(tmp_path: Path, trigger: str) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(3))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(trigger)
        for batch in (events(2), events(300)):
            with pytest.raises(StoreUnavailable, match="there is a trigger that is not ours, or ours is gone"):
                await store.append(batch)

    in_store(path, body)
