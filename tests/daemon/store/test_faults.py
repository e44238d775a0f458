"""The fault table: each step of a commit fails, or says so although it was done; then the whole store is checked."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from operator import attrgetter
from pathlib import Path

import pytest

from audit_daemon.store.protocol import IdempotencyKey, StoreUnavailable
from audit_daemon.store.sqlite import SqliteStore
from audit_stream.logfile.verification import verify_file
from tests.daemon.store.faulty import OPEN, Faults, When
from tests.daemon.store.rig import (
    DEADLINE_S,
    Follower,
    assert_whole,
    build,
    event,
    events,
    file_head,
    in_store,
    opened,
    stored,
    told_all,
    until,
)

FULL = "database or disk is full"
BROKEN = "disk I/O error"

STEPS = {
    "begin": r"BEGIN",
    "series": r"INSERT.* INTO series\b",
    "events": r"INSERT.* INTO events\b",
    "spans": r"INSERT.* INTO spans\b",
    "key": r"INSERT.* INTO idempotency\b",
    "pruned keys": r"DELETE FROM idempotency\b",
    "commit": r"COMMIT",
}
READ_BACK = {
    "opening": OPEN,
    "its head": r"SELECT .*FROM head\b",
    "its series": r"SELECT .*FROM series\b",
    "its spans": r"SELECT .*FROM spans\b",
    "its events": r"SELECT event_id, .*FROM events\b.* WHERE event_id > \?",
}
MODES: list[When] = ["failed", "failed but persisted"]

BEFORE = events(1_022)  # two more end a span, so that the appends below write every table
KEY = IdempotencyKey(source="new", key="retry", digest=b"d" * 32)
BATCH = events(3, first=2_000, source="new")
LATER = event(3_000, source="later")


async def assert_sound(path: Path, store: SqliteStore, follower: Follower, faults: Faults) -> None:
    """Everything that must hold when the disk works again, in the open store and in a reopened one."""
    await told_all(store, follower)
    assert store.head == file_head(path)
    assert follower.told == stored(path)
    assert [event_id for event_id, _, _ in follower.told] == list(range(1, store.head.event_id + 1))
    assert sum(store.counts().values()) == store.head.event_id
    assert store.health.problem is None
    assert (store.health.queued_events, store.health.queued_bytes) == (0, 0)
    assert_whole(path, store.head)
    head, counts = store.head, dict(store.counts())
    await store.close()
    assert_whole(path, head)
    reopened = SqliteStore(path, loop=asyncio.get_running_loop(), open_writer=faults.open_writer)
    assert (reopened.head, dict(reopened.counts())) == (head, counts)
    await reopened.close()
    assert_whole(path, head)


def times_stored(path: Path, number: int) -> int:
    return sum(b'"number":%d}' % number in canonical for _, canonical, _ in stored(path))


def followed(path: Path, faults: Faults) -> tuple[SqliteStore, Follower]:
    """A store on a disk that can be made to fail, and who is told of its commits; `assert_sound` closes it."""
    store = SqliteStore(path, loop=asyncio.get_running_loop(), open_writer=faults.open_writer)
    follower = Follower()
    store.on_commit(follower)
    return store, follower


@pytest.mark.parametrize("reason", [FULL, BROKEN])
@pytest.mark.parametrize("when", MODES)
@pytest.mark.parametrize("step", STEPS)
async def test_a_failed_commit_is_refused_with_its_reason_and_the_next_one_succeeds(
    tmp_path: Path, step: str, when: When, reason: str
) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append(BEFORE)
    faults.arm(STEPS[step], when, sqlite3.OperationalError(reason), times=1)
    with pytest.raises(StoreUnavailable, match=reason):
        await store.append(BATCH, KEY)
    assert faults.struck, "the fault never struck: the table does not fit the writer any more"
    assert reason in (store.health.problem or "")
    persisted = step == "commit" and when == "failed but persisted"
    assert store.head == file_head(path)
    assert (store.head.event_id > len(BEFORE)) is persisted
    retry = await store.append(BATCH, KEY)
    assert retry.replayed is persisted
    await store.append([LATER])
    assert [times_stored(path, number) for number in (2_000, 2_001, 2_002, 3_000)] == [1, 1, 1, 1]
    await assert_sound(path, store, follower, faults)


@pytest.mark.parametrize("when", MODES)
@pytest.mark.parametrize("read_back", READ_BACK)
async def test_a_failed_commit_whose_outcome_cannot_be_read_back_leaves_no_gap_in_the_stream(
    tmp_path: Path, read_back: str, when: When
) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append(BEFORE)
    faults.arm(STEPS["commit"], when, sqlite3.OperationalError(BROKEN), times=1)
    faults.arm(READ_BACK[read_back], "failed", sqlite3.OperationalError(FULL), times=1)
    with pytest.raises(StoreUnavailable):
        await store.append(BATCH, KEY)
    assert len(faults.struck) == 2 or (read_back == "its events" and when == "failed")
    faults.clear()
    await store.append([LATER])
    await assert_sound(path, store, follower, faults)


@pytest.mark.parametrize("when", MODES)
@pytest.mark.parametrize("step", [*STEPS, "opening"])
async def test_a_disk_that_goes_on_failing_refuses_every_append_and_loses_none_that_was_acknowledged(
    tmp_path: Path, step: str, when: When
) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    acknowledged = await store.append(BEFORE)
    for pattern in [STEPS["commit"], OPEN] if step == "opening" else [STEPS[step]]:
        faults.arm(pattern, when, sqlite3.OperationalError(FULL))
    outcomes = [
        await asyncio.gather(
            store.append(
                events(700, first=10_000 * number, source=f"new-{number}"),
                IdempotencyKey(source="new", key=str(number), digest=b"d" * 32),
            ),
            return_exceptions=True,
        )
        for number in range(5)
    ]
    refusals = [str(outcome) for (outcome,) in outcomes if isinstance(outcome, StoreUnavailable)]
    assert all(FULL in refusal for refusal in refusals)
    assert len(refusals) == 5 or step == "spans"  # 700 events do not always end a span
    assert refusals
    assert stored(path)[len(BEFORE) - 1][2] == acknowledged.latest_hash
    faults.clear()
    await store.append([LATER])
    await assert_sound(path, store, follower, faults)


@pytest.mark.parametrize("when", MODES)
async def test_the_store_finds_out_by_itself_that_the_disk_works_again(tmp_path: Path, when: When) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append(BEFORE)
    faults.arm(STEPS["commit"], when, sqlite3.OperationalError(FULL))
    faults.arm(OPEN, when, sqlite3.OperationalError(FULL))
    with pytest.raises(StoreUnavailable):
        await store.append(BATCH)
    strikes = len(faults.struck)
    await until(lambda: len(faults.struck) > strikes)  # it looks again, and is refused again
    assert store.health.problem is not None
    faults.clear()
    await until(lambda: store.health.problem is None)  # nobody posts meanwhile
    await assert_sound(path, store, follower, faults)


async def test_that_the_disk_works_again_is_found_out_by_writing_to_it(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append(BEFORE)
    faults.arm(STEPS["commit"], "failed", sqlite3.OperationalError(FULL))
    with pytest.raises(StoreUnavailable):
        await store.append(BATCH)
    size_bytes, head = store.health.log_bytes, file_head(path)
    faults.clear()
    await until(lambda: store.health.problem is None)
    assert store.health.log_bytes > size_bytes
    assert file_head(path) == head
    await assert_sound(path, store, follower, faults)


@pytest.mark.parametrize("when", MODES)
async def test_a_failing_checkpoint_refuses_nothing_and_loses_nothing(tmp_path: Path, when: When) -> None:
    path, faults = tmp_path / "audit.db", Faults()
    large = [event(number, payload={"text": "x" * 60_000}) for number in range(40)]

    store, follower = followed(path, faults)
    faults.arm(r"PRAGMA wal_checkpoint", when, sqlite3.OperationalError(BROKEN))
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while len(faults.struck) < 2:  # in the thread of its own, and between two commits
        await store.append(large)
        assert asyncio.get_running_loop().time() < deadline
    assert store.health.problem is None
    assert store.health.failed_commits == 0
    faults.clear()
    await assert_sound(path, store, follower, faults)


@pytest.mark.parametrize("reason", [FULL, BROKEN])
@pytest.mark.parametrize("when", MODES)
async def test_a_failed_append_of_one_event_is_refused_and_the_next_one_succeeds(
    tmp_path: Path, when: When, reason: str
) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append(events(3))
    faults.arm(rf"{STEPS['events']}|{STEPS['commit']}", when, sqlite3.OperationalError(reason), times=1)
    with pytest.raises(StoreUnavailable, match=reason):
        await store.append([event(4)])
    assert faults.struck
    assert store.head == file_head(path)
    await store.append([event(5)])
    assert times_stored(path, 5) == 1
    await assert_sound(path, store, follower, faults)


async def test_every_waiter_of_a_failed_commit_is_told(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append([event(0)])
    faults.arm(rf"{STEPS['events']}|{STEPS['commit']}", "failed", sqlite3.OperationalError(FULL))
    outcomes = await asyncio.gather(*(store.append([event(9)]) for _ in range(30)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 30
    faults.clear()
    await store.append([LATER])
    await assert_sound(path, store, follower, faults)


async def test_closing_with_a_broken_disk_answers_every_waiter(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async with opened(path, open_writer=faults.open_writer) as (store, _):
        await store.append(BEFORE)
        head = store.head
        faults.arm(STEPS["commit"], "failed", sqlite3.OperationalError(BROKEN))
        waiters = [asyncio.ensure_future(store.append([event(number)])) for number in range(20)]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert_whole(path, head)


@pytest.mark.parametrize("pool", ["_threads", "_searches._threads"])
async def test_a_reader_whom_the_disk_does_not_answer_keeps_no_stop_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    monkeypatch.setattr("audit_daemon.store.searches._CLOSE_S", 0.05)
    path, answered = tmp_path / "audit.db", threading.Event()

    store = SqliteStore(path, loop=asyncio.get_running_loop())
    await store.append([event(0)])
    stuck = attrgetter(pool)(store).submit(answered.wait, DEADLINE_S)
    await store.close()
    assert store.hung
    answered.set()
    await asyncio.wrap_future(stuck)
    await store.close()
    assert not store.hung


async def test_who_waits_for_a_disk_that_hangs_is_told_at_the_stop_that_the_outcome_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit_daemon.store.writer._CLOSE_S", 0.05)
    path, faults = tmp_path / "audit.db", Faults()

    store = SqliteStore(path, loop=asyncio.get_running_loop(), open_writer=faults.open_writer)
    await store.append([event(0)])
    faults.hold()
    waiters = [asyncio.ensure_future(store.append([event(number)])) for number in range(12)]
    await until(faults.held.is_set)
    store.give_up()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert all("send it again with the same Idempotency-Key" in str(outcome) for outcome in outcomes)
    await store.close()
    assert store.hung
    faults.release()
    await asyncio.to_thread(store._writer._thread.join, DEADLINE_S)
    await store.close()
    assert not store.hung


def test_another_program_that_holds_the_write_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, follower: Follower) -> None:
        await store.append([event(0)])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            outcomes = await asyncio.gather(*(store.append([event(1)]) for _ in range(12)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            assert {"another program holds the database's write lock" in str(outcome) for outcome in outcomes} == {True}
            other.execute("ROLLBACK")
        await until(lambda: store.health.problem is None)
        await store.append([event(2)])
        await told_all(store, follower)
        assert follower.told == stored(path)

    in_store(path, body)


def test_a_reader_that_does_not_end_keeps_nobody_from_appending_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints cannot be completed, so that the log grows; what is kept in memory meanwhile is bounded."""
    monkeypatch.setattr("audit_daemon.store.checkpoint.CHECKPOINT_BYTES", 100_000)
    monkeypatch.setattr("audit_daemon.store.rescue._MAX_UNSAVED_BYTES", 200_000)
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(0)])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            for number in range(20):
                await store.append(events(300, first=1_000 * number))
            kept = sum(1 for _ in store._writer._unsaved.after(0))
            assert 0 < kept < 3_000
        for number in range(20):
            await store.append(events(300, first=1_000 * number))
        await until(lambda: sum(1 for _ in store._writer._unsaved.after(0)) < 6_000)
        assert_whole(path, store.head)

    in_store(path, body)


async def test_an_error_that_nobody_foresaw_is_answered_and_the_writer_lives_on(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    store, follower = followed(path, faults)
    await store.append(BEFORE)
    for pattern in (STEPS["events"], OPEN):  # in the commit, then while what is true is read back
        faults.arm(pattern, "failed", MemoryError(), times=1)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(StoreUnavailable, match="MemoryError"):
        await store.append(BATCH)
    assert store.health.problem is not None
    faults.clear()
    await store.append([LATER])
    await assert_sound(path, store, follower, faults)


@pytest.mark.parametrize("then", ["deleted", "replaced by a longer one", "replaced by a shorter one"])
def test_nothing_is_acknowledged_into_a_file_that_is_not_there_any_more(tmp_path: Path, then: str) -> None:
    path, other = tmp_path / "audit.db", tmp_path / "other.db"
    build(other, events(9 if "longer" in then else 1, source="other"))

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(3))
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if then != "deleted":
            other.rename(path)
        for _attempt in range(2):
            with pytest.raises(StoreUnavailable):
                await store.append(events(1))
        assert store.health.problem is not None

    in_store(path, body)
    assert path.exists() is (then != "deleted")
    if path.exists():  # and what was put there is as it was
        assert verify_file(path).valid
        assert verify_file(path).checked == (9 if "longer" in then else 1)
