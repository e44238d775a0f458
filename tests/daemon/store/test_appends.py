"""Appends: what shares a commit, what is refused, and what becomes of those who no longer wait."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from audit_daemon.store.protocol import AppendResult, StoreBusy, StoreUnavailable
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.store.writer import WriterLimits
from audit_stream.chain import GENESIS
from audit_stream.event import EventReader
from audit_stream.logfile.query import EventQuery
from tests.daemon.store.faulty import Faults
from tests.daemon.store.rig import (
    Follower,
    assert_whole,
    event,
    events,
    file_head,
    in_store,
    opened,
    served,
    stored,
    told_all,
    until,
)


async def busy(store: SqliteStore, faults: Faults) -> asyncio.Future[AppendResult]:
    """One append whose commit the disk does not finish before `release`."""
    faults.hold()
    first = asyncio.ensure_future(store.append([event(1)]))
    await until(faults.held.is_set)
    return first


async def queue(store: SqliteStore, *batches: int) -> list[asyncio.Future[AppendResult]]:
    """Appends of so many events each, queued in this order."""
    futures: list[asyncio.Future[AppendResult]] = [
        asyncio.ensure_future(store.append(events(count, first=100 * at))) for at, count in enumerate(batches)
    ]
    await asyncio.sleep(0)  # each runs until it waits
    return futures


def test_an_append_is_in_the_file_before_it_returns(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def body(store: SqliteStore, _: Follower) -> None:
        for number in range(1, 6):
            receipt = await store.append([event(number)])
            assert receipt.first_event_id == receipt.last_event_id == number
            assert stored(path)[-1] == (number, receipt.events[0].canonical, receipt.latest_hash)
            assert file_head(path) == store.head

    in_store(path, body)


def test_the_vectors_of_audit_stream_0_1_0_get_the_same_hashes_in_a_file(tmp_path: Path) -> None:
    vectors = json.loads((Path(__file__).parents[2] / "data" / "chain_vectors.json").read_text())["vectors"]

    async def body(store: SqliteStore, _: Follower) -> None:
        for vector in vectors:
            await store.append([EventReader().read(vector["request_body"].encode())])
            canonical, hash_ = store.event(vector["event_id"]) or (b"", "")
            assert hash_ == vector["hash"] == hashlib.sha256(canonical).hexdigest()
        assert [each["hash"] for each in await served(store, EventQuery())] == [each["hash"] for each in vectors]

    in_store(tmp_path / "audit.db", body)


def test_appends_that_are_queued_while_the_disk_is_busy_share_one_commit(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async def body(store: SqliteStore, follower: Follower) -> None:
        first = await busy(store, faults)
        waiting = await queue(store, *[1] * 200)
        assert store.health.queued_events == 201
        faults.release()
        receipts = await asyncio.gather(first, *waiting)
        assert store.health.commits == 2
        assert [receipt.first_event_id for receipt in receipts] == list(range(1, 202))  # in the order of the calls
        assert (store.health.queued_events, store.health.queued_bytes) == (0, 0)
        await told_all(store, follower)
        assert follower.told == stored(path)

    in_store(path, body, open_writer=faults.open_writer)


def test_nobody_is_told_before_the_commit_is_done(tmp_path: Path) -> None:
    faults = Faults()

    async def body(store: SqliteStore, follower: Follower) -> None:
        first = await busy(store, faults)
        assert not first.done()
        assert follower.told == []
        assert store.head == GENESIS
        assert dict(store.counts()) == {}
        faults.release()
        await first
        assert store.head.event_id == 1

    in_store(tmp_path / "audit.db", body, open_writer=faults.open_writer)


@pytest.mark.parametrize(
    ("limits", "fitting", "beyond"),
    [
        pytest.param(WriterLimits(max_events=10), [4, 5], 1, id="by number"),
        pytest.param(WriterLimits(max_events=10), [], 10, id="a batch"),
        pytest.param(WriterLimits(max_bytes=1_000), [3, 2], 3, id="by bytes"),
    ],
)
def test_a_full_queue_refuses_and_queues_nothing(
    tmp_path: Path, limits: WriterLimits, fitting: list[int], beyond: int
) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async def body(store: SqliteStore, _: Follower) -> None:
        first = await busy(store, faults)
        waiting = await queue(store, *fitting)
        before = store.health
        with pytest.raises(StoreBusy, match="the write queue is full"):
            await store.append(events(beyond, first=9_000))
        after = store.health
        assert (after.queued_events, after.queued_bytes) == (before.queued_events, before.queued_bytes)
        faults.release()
        await asyncio.gather(first, *waiting)
        assert store.head.event_id == 1 + sum(fitting)
        assert (await store.append(events(beyond))).last_event_id == 1 + sum(fitting) + beyond  # there is room again

    in_store(path, body, open_writer=faults.open_writer, limits=limits)
    assert not any(b"9000" in canonical for _, canonical, _ in stored(path))


def test_a_waiter_that_is_cancelled_leaves_the_others_and_its_events_alone(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async def body(store: SqliteStore, follower: Follower) -> None:
        first = await busy(store, faults)
        waiting = await queue(store, 1, 1, 1)
        waiting[1].cancel()
        await asyncio.sleep(0)
        faults.release()
        receipts = await asyncio.gather(first, waiting[0], waiting[2])
        assert [receipt.first_event_id for receipt in receipts] == [1, 2, 4]  # its event was queued, and is stored
        await told_all(store, follower)
        assert follower.told == stored(path)

    in_store(path, body, open_writer=faults.open_writer)


def test_a_loop_that_was_closed_does_not_end_the_writer(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()
    loop = asyncio.new_event_loop()
    store = SqliteStore(path, loop=loop, open_writer=faults.open_writer)
    faults.hold()

    async def append_and_leave() -> None:
        asyncio.ensure_future(store.append([event(1)])).add_done_callback(lambda _: None)
        await until(faults.held.is_set)

    loop.run_until_complete(append_and_leave())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    faults.release()
    asyncio.run(store.close())
    assert [event_id for event_id, _, _ in stored(path)] == [1]
    assert_whole(path, file_head(path))


def test_closing_commits_what_is_queued_and_answers_it(tmp_path: Path) -> None:
    path, faults = tmp_path / "audit.db", Faults()

    async def scenario() -> None:
        async with opened(path, open_writer=faults.open_writer) as (store, _):
            first = await busy(store, faults)
            waiting = await queue(store, 1, 5, 1)
            threading.Timer(0.02, faults.release).start()
        receipts = await asyncio.gather(first, *waiting)
        assert [receipt.last_event_id for receipt in receipts] == [1, 2, 7, 8]
        with pytest.raises(StoreUnavailable, match="stopping"):
            await store.append([event(9)])

    asyncio.run(scenario())
    assert len(stored(path)) == 8


def test_a_commit_takes_no_more_than_its_share_of_a_long_queue(tmp_path: Path) -> None:
    """So that the first waiter of a long queue is not kept for the last."""
    faults = Faults()

    async def body(store: SqliteStore, _: Follower) -> None:
        first = await busy(store, faults)
        waiting = await queue(store, 8_000, 8_000, 8_000)
        faults.release()
        await asyncio.gather(first, *waiting)
        assert 3 <= store.health.commits <= 4

    in_store(tmp_path / "audit.db", body, open_writer=faults.open_writer)


def test_the_log_file_stays_small_under_continuous_load(tmp_path: Path) -> None:
    """Checkpoints keep up: what a start after a crash has to read back stays bounded."""
    path = tmp_path / "audit.db"
    large = [event(number, payload={"text": os.urandom(24_000).hex()}) for number in range(40)]
    sizes = []

    async def body(store: SqliteStore, follower: Follower) -> None:
        for _ in range(110):
            await store.append(large)
            sizes.append(path.with_name("audit.db-wal").stat().st_size)
        assert store.health.size_bytes > 200 << 20

    in_store(path, body)
    assert max(sizes) < 110 << 20  # 230 MB were written
    wal = path.with_name("audit.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0
