"""Retry keys: the same key with the same body is stored once, whatever lies between the two."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_daemon.store.protocol import AppendResult, IdempotencyConflict, IdempotencyKey
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.store.writer import WriterLimits
from tests.daemon.store.faulty import Faults
from tests.daemon.store.rig import START_MS, Follower, event, events, in_store, stored, told_all, until


def key(name: str = "key", *, source: str = "test", body: bytes = b"a") -> IdempotencyKey:
    return IdempotencyKey(source=source, key=name, digest=body * 32)


class Clock:
    """Unix milliseconds that a test moves."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def place(receipt: AppendResult) -> tuple[int, int, str]:
    return receipt.first_event_id, receipt.last_event_id, receipt.latest_hash


def test_the_same_key_and_body_gives_the_first_answer_again(tmp_path: Path) -> None:
    async def body(store: SqliteStore, _: Follower) -> None:
        first = await store.append(events(3), key())
        await store.append([event(9)])
        again = await store.append(events(3), key())
        assert (first.replayed, again.replayed) == (False, True)
        assert place(again) == place(first) == (1, 3, first.latest_hash)
        assert store.head.event_id == 4

    in_store(tmp_path / "audit.db", body)


def test_a_key_that_somebody_dated_at_the_end_of_time_keeps_none_out(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def one(store: SqliteStore, _: Follower) -> None:
        await store.append([event(1)], key())

    async def more(store: SqliteStore, _: Follower) -> None:
        assert (await store.append([event(2)], key("another"))).replayed is False
        assert (await store.append([event(2)], key("another"))).replayed is True

    in_store(path, one)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE idempotency SET time_ms = ?", (2**63 - 1,))
        connection.commit()
    in_store(path, more)


def test_the_same_key_with_another_body_is_a_conflict_and_stores_nothing(tmp_path: Path) -> None:
    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(1)], key())
        with pytest.raises(IdempotencyConflict, match="use a new key"):
            await store.append([event(2)], key(body=b"b"))
        assert store.head.event_id == 1
        assert (await store.append([event(1)], key())).replayed is True

    in_store(tmp_path / "audit.db", body)


def test_the_same_key_of_another_source_is_another_key(tmp_path: Path) -> None:
    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(1)], key(source="one"))
        assert (await store.append([event(1)], key(source="two", body=b"b"))).replayed is False
        assert store.head.event_id == 2

    in_store(tmp_path / "audit.db", body)


def test_a_key_is_remembered_after_a_restart(tmp_path: Path) -> None:
    path, receipts = tmp_path / "audit.db", []

    async def body(store: SqliteStore, _: Follower) -> None:
        receipts.append(await store.append([event(1)], key()))

    in_store(path, body)
    in_store(path, body)
    assert [receipt.replayed for receipt in receipts] == [False, True]
    assert place(receipts[0]) == place(receipts[1])
    assert len(stored(path)) == 1


def test_retries_that_meet_in_one_commit_are_stored_once(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async def body(store: SqliteStore, follower: Follower) -> None:
        faults.hold()
        appends: list[asyncio.Future[AppendResult]] = [asyncio.ensure_future(store.append([event(0)]))]
        await until(faults.held.is_set)
        bodies = [b"a", b"a", b"b", b"a"]
        appends += [asyncio.ensure_future(store.append(events(2), key(body=each))) for each in bodies]
        await asyncio.sleep(0)
        faults.release()
        _, first, again, other, third = await asyncio.gather(*appends, return_exceptions=True)
        assert store.health.commits == 2
        assert isinstance(other, IdempotencyConflict)
        assert isinstance(first, AppendResult)
        assert isinstance(again, AppendResult)
        assert isinstance(third, AppendResult)
        assert place(first) == place(again) == place(third) == (2, 3, store.head.hash)
        assert [first.replayed, again.replayed, third.replayed] == [False, True, True]
        await told_all(store, follower)
        assert follower.told == stored(path)

    in_store(path, body, open_writer=faults.open_writer)


def test_a_key_is_forgotten_after_its_lifetime(tmp_path: Path) -> None:
    clock = Clock()

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(1)], key())
        clock.now_ms += 999
        assert (await store.append([event(1)], key())).replayed is True  # which does not prolong it
        clock.now_ms += 1
        assert (await store.append([event(2)], key(body=b"b"))).replayed is False
        assert (await store.append([event(2)], key(body=b"b"))).replayed is True
        assert store.head.event_id == 2

    in_store(tmp_path / "audit.db", body, uptime_ms=clock, limits=WriterLimits(key_lifetime_ms=1_000))


def test_forgotten_keys_are_removed_from_the_file(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        for round_ in range(5):
            await asyncio.gather(*(store.append([event(n)], key(f"{round_}-{n}")) for n in range(200)))
            clock.now_ms += 1_000
        await store.append([event(0)], key("last"))

    in_store(path, body, uptime_ms=clock, limits=WriterLimits(key_lifetime_ms=1_000))
    with closing(sqlite3.connect(path)) as connection:
        (left,) = connection.execute("SELECT count(*) FROM idempotency").fetchone()
    assert left <= 201


HOUR_MS = 3_600_000

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(0, 30 * HOUR_MS)),
        st.tuples(st.just("clock"), st.integers(-(10**6) * HOUR_MS, 10**6 * HOUR_MS)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_key_is_remembered_by_the_time_that_the_daemon_ran_whatever_the_clock_says(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    """A restart does not count, nor what ran since the last key: it is remembered longer then, never shorter."""
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "audit.db"
    clock, uptime = Clock(), Clock()
    lifetime_ms = 24 * HOUR_MS
    posted_ms: dict[int, int] = {}
    ran_ms = newest_ms = 0

    def open_store() -> SqliteStore:
        limits = WriterLimits(key_lifetime_ms=lifetime_ms)
        loop = asyncio.get_running_loop()
        return SqliteStore(path, loop=loop, clock_ms=clock, uptime_ms=uptime, limits=limits)

    async def run() -> None:
        nonlocal ran_ms, newest_ms
        store = open_store()
        for step, value in steps:
            if step == "post":
                remembered = value in posted_ms and ran_ms - posted_ms[value] < lifetime_ms
                receipt = await store.append([event(value)], key(str(value)))
                assert receipt.replayed == remembered
                if not remembered:
                    posted_ms[value] = newest_ms = ran_ms
            elif step == "wait":
                uptime.now_ms += value
                ran_ms += value
            elif step == "clock":
                clock.now_ms += value
            else:
                await store.close()
                uptime.now_ms = 12_345  # the machine was started anew
                ran_ms = newest_ms
                store = open_store()
        await store.close()

    asyncio.run(run())


@pytest.mark.parametrize("named", [(1, 1), (2, 3), (3, 3), (2, 2), (900, 901), (-1, 0)])
def test_a_key_that_somebody_put_into_the_file_keeps_no_event_out_of_the_log(
    tmp_path: Path, named: tuple[int, int]
) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append(events(3))
        with closing(sqlite3.connect(path)) as connection:
            row = ("test", "key", key().digest, *named, 2**50)
            connection.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.commit()
        first = await store.append(events(2, first=70), key())
        assert (first.replayed, first.first_event_id, first.last_event_id) == (False, 4, 5)
        again = await store.append(events(2, first=70), key())
        assert (again.replayed, place(again)) == (True, place(first))

    in_store(path, body)
