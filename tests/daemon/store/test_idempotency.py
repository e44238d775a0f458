"""Retry keys: the same key with the same body is stored once, whatever lies between the two."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from audit_daemon.store.protocol import IdempotencyConflict, IdempotencyKey, Receipt
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


def place(receipt: Receipt) -> tuple[int, int, str]:
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
        appends: list[asyncio.Future[Receipt]] = [asyncio.ensure_future(store.append([event(0)]))]
        await until(faults.held.is_set)
        bodies = [b"a", b"a", b"b", b"a"]
        appends += [asyncio.ensure_future(store.append(events(2), key(body=each))) for each in bodies]
        await asyncio.sleep(0)
        faults.release()
        _, first, again, other, third = await asyncio.gather(*appends, return_exceptions=True)
        assert store.health.commits == 2
        assert isinstance(other, IdempotencyConflict)
        assert isinstance(first, Receipt)
        assert isinstance(again, Receipt)
        assert isinstance(third, Receipt)
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

    in_store(tmp_path / "audit.db", body, clock_ms=clock, limits=WriterLimits(key_lifetime_ms=1_000))


def test_forgotten_keys_are_removed_from_the_file(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        for round_ in range(5):
            await asyncio.gather(*(store.append([event(n)], key(f"{round_}-{n}")) for n in range(200)))
            clock.now_ms += 1_000
        await store.append([event(0)], key("last"))

    in_store(path, body, clock_ms=clock, limits=WriterLimits(key_lifetime_ms=1_000))
    with closing(sqlite3.connect(path)) as connection:
        (left,) = connection.execute("SELECT count(*) FROM idempotency").fetchone()
    assert left <= 201
