"""Turns of the loop: many replays leave time to others, and to who is at the live end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from audit_daemon.ring import Ring, Subscription
from audit_daemon.tail import Tail
from audit_daemon.turns import Turns
from audit_stream.canonical import prepare
from audit_stream.chain import GENESIS, link
from audit_stream.filters import Filter, parse
from audit_stream.filters.matching import Subject, passes
from audit_stream.logfile.query import Criteria
from tests.daemon.test_tail import MemoryStore, ids

DEADLINE_S = 20


def run(body: Callable[[Turns], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await body(Turns(asyncio.get_running_loop(), budget_s=0.0005))

    asyncio.run(scenario())


class Counter:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.turns = 0
        self._next()

    def _next(self) -> None:
        self.turns += 1
        asyncio.get_running_loop().call_soon(self._next)


async def worker(turns: Turns, log: list[int], counter: Counter, *, urgent: bool = False, pieces: int = 5) -> None:
    for _ in range(pieces):
        await turns.take(urgent=urgent)
        log.append(counter.turns)
        turns.spend(0.0005, urgent=urgent)  # all that one turn of the loop has


def test_replays_go_on_one_in_a_turn_and_in_order() -> None:
    async def body(turns: Turns) -> None:
        counter = Counter()
        logs: list[list[int]] = [[] for _ in range(20)]
        await asyncio.gather(*(worker(turns, log, counter) for log in logs))
        taken = [turn for log in logs for turn in log]
        assert max(taken.count(turn) for turn in taken) <= 2  # who was let in, and perhaps one that came just then
        for piece in range(3):  # nobody is more than a piece ahead of another
            assert max(log[piece] for log in logs) <= min(log[piece + 2] for log in logs)

    run(body)


def test_who_is_at_the_live_end_does_not_wait_for_replays() -> None:
    async def body(turns: Turns) -> None:
        counter = Counter()
        replays: list[int] = []
        behind = [asyncio.ensure_future(worker(turns, replays, counter, pieces=10**6)) for _ in range(100)]
        while len(replays) < 10:  # noqa: ASYNC110 - a plain list sets no event
            await asyncio.sleep(0)
        live: list[int] = []
        asked = counter.turns
        await worker(turns, live, counter, urgent=True, pieces=1)
        assert live[0] - asked <= 3
        before = len(replays)
        while len(replays) == before:  # noqa: ASYNC110 - and they go on
            await asyncio.sleep(0)
        for each in behind:
            each.cancel()

    run(body)


def test_replays_get_on_beside_many_at_the_live_end() -> None:
    async def body(turns: Turns) -> None:
        counter = Counter()
        live = [asyncio.ensure_future(worker(turns, [], counter, urgent=True, pieces=10**6)) for _ in range(100)]
        await asyncio.sleep(0)
        replay: list[int] = []
        await worker(turns, replay, counter, pieces=5)
        assert len(replay) == 5
        for each in live:
            each.cancel()

    run(body)


def test_who_gave_up_waiting_costs_nobody_a_turn() -> None:
    async def body(turns: Turns) -> None:
        turns.spend(0.0005, urgent=False)
        gone = [asyncio.ensure_future(turns.take(urgent=False)) for _ in range(50)]
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        log: list[int] = []
        await worker(turns, log, Counter(), pieces=1)
        assert len(log) == 1

    run(body)


def ring_of(count: int) -> Ring:
    ring = Ring(max_events=count, max_bytes=1 << 30, last_id=0)
    ring.extend(
        list(
            link(
                GENESIS,
                [
                    prepare(kind="other", source="s", payload={"n": n}, timestamp="t", time_ms=None)
                    for n in range(count)
                ],
            )
        )
    )
    return ring


def test_what_a_filter_says_of_an_event_is_worked_out_once_for_all_with_that_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From whatever place they begin, and though their filters are not the same object."""
    ring = ring_of(300)
    asked: list[int] = []

    def counted(filter_: Filter, subject: Subject) -> bool:
        asked.append(subject.event_id)
        return passes(filter_, subject)

    monkeypatch.setattr("audit_daemon.ring.passes", counted)
    for start in (0, 0, 10, 100, 37):
        cursor = start
        while cursor < 300:
            criteria = Criteria(filter=parse("-payload.n:7", now_ms=0))
            _, cursor = ring.chunk(cursor, Subscription(criteria=criteria))
    assert sorted(asked) == list(range(1, 301))


def test_a_chunk_ends_when_its_filter_has_taken_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_daemon.ring._EXAMINED_S", 0.0)
    ring = ring_of(10)
    subscription = Subscription(criteria=Criteria(filter=parse("-nowhere", now_ms=0)))
    assert [ring.chunk(cursor, subscription)[1] for cursor in range(3)] == [1, 2, 3]


def test_decoded_payloads_and_verdicts_do_not_fill_the_memory() -> None:
    count = 4_000
    ring = ring_of(count)
    cursor = 0
    while cursor < count:
        _, cursor = ring.chunk(cursor, Subscription(criteria=Criteria(filter=parse("-nowhere", now_ms=0))))
    assert len(ring._subjects) < 2_000
    assert len(ring._verdicts) <= count // 64 + 2


@pytest.mark.parametrize("values", [1, 40])
def test_an_event_that_takes_a_filter_long_is_left_to_a_thread(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    """The largest event and filter take 2 s: nobody else would be answered meanwhile."""
    threads: list[bool] = []

    def seen(filter_: Filter, subject: Subject) -> bool:
        threads.append(threading.current_thread() is threading.main_thread())
        return passes(filter_, subject)

    monkeypatch.setattr("audit_daemon.ring.passes", seen)
    payloads = [[3] * 2_000, [3], [7, *[3] * 1_000], [3] * 3_000]
    wanted = ",".join(map(str, range(7, 7 + values)))
    subscription = Subscription(criteria=Criteria(filter=parse(f"-payload.n:{wanted}", now_ms=0)))

    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            tail = Tail(MemoryStore())
            prepared = [
                prepare(kind="other", source="s", payload={"n": n}, timestamp="t", time_ms=None) for n in payloads
            ]
            tail.publish(list(link(GENESIS, prepared)))
            tail.close()
            streams = [tail.follow(0, subscription) for _ in range(3)]
            for stream in streams:
                assert ids(b"".join([chunk async for chunk in stream])) == [1, 2, 4]
            assert not tail._examined

    asyncio.run(scenario())
    assert threads == ([True] * 4 if values == 1 else [False, True, False, False])  # once for all three streams
