"""The tail with a store of the test's own: what comes from the ring, what from the store, and that nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

import pytest

from audit_daemon.store.protocol import AppendResult, Health, IdempotencyKey, Store
from audit_daemon.tail import HEARTBEAT, SSE, SSE_UNNAMED, Subscription, Tail
from audit_stream.canonical import UnlinkedEvent, prepare, splice_hash
from audit_stream.chain import GENESIS, ChainedEvent, Head, link
from audit_stream.filters import parse
from audit_stream.logfile.query import Criteria, EventQuery, Page, PageFormat
from audit_stream.logfile.series import Tally

ALL = Subscription()


def prepared(number: int, *, kind: str = "other", source: str = "s", size: int = 0) -> UnlinkedEvent:
    return prepare(
        kind=kind,
        source=source,
        payload={"number": number, "padding": "x" * size},
        timestamp="2026-05-15T00:00:00Z",
        time_ms=1_778_803_200_000 + number,
    )


class MemoryStore:
    """The part of a Store that the tail uses, in memory; counts the pages that were asked for and those given out."""

    def __init__(self) -> None:
        self.log: list[ChainedEvent] = []
        self.reads = 0
        self.answered = 0
        self._listeners: list[Callable[[Sequence[ChainedEvent]], None]] = []

    def commit(self, *events: UnlinkedEvent) -> None:
        """One commit: on disk first, then told to the tail."""
        linked = list(link(self.head, events))
        self.log += linked
        for listener in self._listeners:
            listener(linked)

    def fill(self, count: int, *, kind: str = "other", size: int = 0) -> None:
        """So many events, each in a commit of its own."""
        for _ in range(count):
            self.commit(prepared(len(self.log) + 1, kind=kind, size=size))

    @property
    def head(self) -> Head:
        return Head(self.log[-1].event_id, self.log[-1].hash) if self.log else GENESIS

    @property
    def health(self) -> Health:
        raise NotImplementedError

    def counts(self) -> Mapping[tuple[str, str], int]:
        raise NotImplementedError

    def tally(self) -> Tally:
        raise NotImplementedError

    def has_kind(self, kind: str) -> bool:
        raise NotImplementedError

    async def append(self, events: Sequence[UnlinkedEvent], key: IdempotencyKey | None = None) -> AppendResult:
        raise NotImplementedError

    def on_commit(self, listener: Callable[[Sequence[ChainedEvent]], None]) -> None:
        self._listeners.append(listener)

    def event(self, event_id: int) -> tuple[bytes, str] | None:
        raise NotImplementedError

    async def find(self, query: EventQuery) -> Page:
        self.reads += 1
        assert query.forward
        assert query.max_id is not None
        await asyncio.sleep(0)
        fitting = [
            event.event_id
            for event in self.log[query.min_id - 1 : query.max_id]
            if query.criteria.kinds is None or event.prepared.kind in query.criteria.kinds
        ]
        more = len(fitting) > query.limit
        found = fitting[: query.limit]
        return Page(ids=found, more=more, reached=found[-1] if more else query.max_id)

    find_some = find

    async def read(self, ids: Sequence[int], page_format: PageFormat) -> AsyncIterator[bytes]:
        assert page_format is SSE
        self.answered += 1
        yield b"".join(frame(self.log[event_id - 1]) for event_id in ids)

    def read_small(self, ids: Sequence[int], page_format: PageFormat) -> bytes | None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def frame(event: ChainedEvent) -> bytes:
    served = splice_hash(event.canonical, event.hash)
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event.prepared.kind.encode(), event.event_id, served)


def ids(chunk: bytes) -> list[int]:
    return [int(match) for match in re.findall(rb"^id: (\d+)$", chunk, re.MULTILINE)]


class Subscriber:
    """A reader that takes a chunk when the test says so."""

    def __init__(self, tail: Tail, cursor: int, subscription: Subscription = ALL) -> None:
        self.tail = tail
        self.chunks = tail.follow(cursor, subscription)
        self.seen: list[int] = []

    async def take(self) -> bytes:
        chunk = await asyncio.wait_for(anext(self.chunks), 10)
        self.seen += ids(chunk)
        return chunk

    async def take_until(self, event_id: int) -> list[int]:
        """Everything up to an event; the ids in the order in which they came."""
        while not self.seen or self.seen[-1] < event_id:
            await self.take()
        return self.seen

    async def rest(self) -> list[int]:
        """Everything until the stream ends."""
        async with asyncio.timeout(10):
            async for chunk in self.chunks:
                self.seen += ids(chunk)
        return self.seen

    async def waits(self) -> asyncio.Task[bytes]:
        """A task that takes the first chunk and has begun to follow: at the end of the log it waits for a commit."""
        others = self.tail.subscribers
        task = asyncio.create_task(self.take())
        await until(lambda: self.tail.subscribers == others + 1)
        assert not task.done()
        return task


async def until(condition: Callable[[], bool]) -> None:
    """Let the others on the loop run until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - conditions on plain counters, which set no event
            await asyncio.sleep(0)


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


def test_a_memory_store_is_a_store() -> None:
    store: Store = MemoryStore()
    assert store.head == GENESIS


def test_a_subscriber_at_the_end_gets_what_is_committed_from_now_on() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        store.fill(5)
        subscriber = Subscriber(Tail(store), 5)
        waiting = await subscriber.waits()
        store.fill(2)
        await waiting
        assert await subscriber.take_until(7) == [6, 7]
        assert store.reads == 0

    run(scenario())


def test_commits_of_one_turn_come_in_one_chunk() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        subscriber = Subscriber(Tail(store), 0)
        waiting = await subscriber.waits()
        store.fill(100)
        assert ids(await waiting) == list(range(1, 101))

    run(scenario())


def test_frames_of_the_ring_are_those_of_the_store() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        store.fill(3)
        assert await Subscriber(tail, 0).take() == b"".join(frame(event) for event in store.log)

    run(scenario())


def test_unnamed_frames_have_no_event_line() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        store.fill(1)
        named = await Subscriber(tail, 0).take()
        unnamed = await Subscriber(tail, 0, Subscription(page_format=SSE_UNNAMED)).take()
        assert named == b"event: other\n" + unnamed
        assert unnamed.startswith(b"id: 1\ndata: {")

    run(scenario())


@pytest.mark.parametrize("cursor", range(31))
def test_from_wherever_a_subscriber_starts_it_gets_each_event_once(cursor: int) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        store.fill(10)  # before the daemon's start: never in the ring
        tail = Tail(store, ring_events=8)
        store.fill(20)
        subscriber = Subscriber(tail, cursor)
        if cursor < 30:
            assert await subscriber.take_until(30) == list(range(cursor + 1, 31))
        store.fill(3)
        assert await subscriber.take_until(33) == list(range(cursor + 1, 34))
        assert (store.reads > 0) == (cursor < 22)  # the ring holds 23 to 30

    run(scenario())


def test_after_a_start_history_comes_from_the_store() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        store.fill(1_200)
        subscriber = Subscriber(Tail(store), 0)
        assert await subscriber.take_until(1_200) == list(range(1, 1_201))
        assert store.reads == 3  # pages of a bounded size

    run(scenario())


def test_a_reader_that_falls_out_of_the_ring_loses_nothing_and_comes_back_to_it() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store, ring_events=10)
        subscriber = Subscriber(tail, 0)
        for _ in range(5):
            store.fill(35)
            await subscriber.take()  # a chunk of what is far behind by now
        await subscriber.take_until(175)
        reads = store.reads
        assert reads > 0
        store.fill(3)
        assert await subscriber.take_until(178) == list(range(1, 179))
        assert store.reads == reads

    run(scenario())


def test_commits_during_a_read_of_history_are_neither_lost_nor_repeated() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store, ring_events=5)
        store.fill(50)
        subscriber = Subscriber(tail, 0)
        reading = asyncio.create_task(subscriber.take_until(80))
        for _ in range(30):
            await asyncio.sleep(0)
            store.fill(1)
        assert await reading == list(range(1, 81))

    run(scenario())


def test_an_event_larger_than_the_ring_is_read_from_the_store() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store, ring_bytes=1_000)
        subscriber = Subscriber(tail, 0)
        waiting = await subscriber.waits()
        store.fill(1, size=5_000)
        assert ids(await waiting) == [1]
        store.fill(2)
        assert await subscriber.take_until(3) == [1, 2, 3]

    run(scenario())


def test_a_commit_larger_than_the_ring_is_read_whole() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        subscriber = Subscriber(Tail(store, ring_events=10), 0)
        waiting = await subscriber.waits()
        store.commit(*(prepared(number) for number in range(1, 101)))
        await waiting
        assert await subscriber.take_until(100) == list(range(1, 101))

    run(scenario())


def test_a_chunk_is_bounded_in_bytes() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        store.fill(100, size=20_000)
        subscriber = Subscriber(tail, 0)
        while not subscriber.seen or subscriber.seen[-1] < 100:
            assert len(await subscriber.take()) < (256 << 10) + 22_000
        assert subscriber.seen == list(range(1, 101))

    run(scenario())


@pytest.mark.parametrize("ring_events", [5, 1_000])
def test_a_selection_is_the_same_from_ring_and_store(ring_events: int) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store, ring_events=ring_events)
        for number in range(100):
            store.fill(1, kind="flag_swapped" if number % 7 == 0 else "other")
        subscriber = Subscriber(tail, 0, Subscription(criteria=Criteria(kinds=frozenset({"flag_swapped"}))))
        assert await subscriber.take_until(99) == list(range(1, 100, 7))

    run(scenario())


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (Criteria(kinds=frozenset({"other"})), [1, 3]),
        (Criteria(sources=frozenset({"b"})), [2, 3]),
        (Criteria(kinds=frozenset({"other"}), sources=frozenset({"b"})), [3]),
        (Criteria(since_ms=1_778_803_200_002), [2, 3]),
        (Criteria(until_ms=1_778_803_200_002), [1, 2]),
        (Criteria(filter=parse("payload.number:>1 -kind:flag_swapped", now_ms=0)), [3]),
    ],
    ids=["kind", "source", "both", "since", "until", "filter"],
)
def test_each_bound_of_a_selection_applies_to_live_events(criteria: Criteria, expected: list[int]) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        store.commit(prepared(1, source="a"), prepared(2, kind="flag_swapped", source="b"), prepared(3, source="b"))
        tail.close()
        assert await Subscriber(tail, 0, Subscription(criteria=criteria)).rest() == expected

    run(scenario())


def test_a_subscriber_to_nothing_waits_without_asking_the_store_again() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        store.fill(20)
        tail = Tail(store)
        subscriber = Subscriber(tail, 0, Subscription(criteria=Criteria(kinds=frozenset({"flag_swapped"}))))
        waiting = await subscriber.waits()
        await until(lambda: store.answered == 1)
        store.fill(20)
        store.fill(1, kind="flag_swapped")
        assert ids(await waiting) == [41]
        assert store.reads == 1

    run(scenario())


def test_subscribers_with_the_same_selection_and_place_share_one_encoding() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        waiting = [await Subscriber(tail, 0).waits() for _ in range(3)]
        store.fill(5)
        first, *others = await asyncio.gather(*waiting)
        assert all(other is first for other in others)

    run(scenario())


def test_subscribers_at_many_places_of_a_quiet_log_do_not_fill_the_memory() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        store.fill(500, size=1_000)
        await Subscriber(tail, 0).take_until(500)
        gc.collect()
        tracemalloc.start()
        for cursor in range(400):
            await Subscriber(tail, cursor).take_until(500)
        await asyncio.sleep(0)  # the loop closes the streams that nobody holds any more; Python 3.12 waits for its turn
        await asyncio.sleep(0)
        gc.collect()
        kept_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept_bytes < 16 << 20  # all their chunks together take 150 MB

    run(scenario())


def test_a_peer_that_takes_everything_at_once_does_not_keep_the_loop_from_others() -> None:
    """As the server does for a peer that is gone: it throws away what is sent without waiting."""

    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        store.fill(5_000)

        taken: list[bytes] = []

        async def take_everything() -> None:
            async for chunk in tail.follow(0, ALL):
                taken.append(chunk)  # noqa: PERF401 - a comprehension would keep what it has until its end

        greedy = asyncio.create_task(take_everything())
        await until(lambda: bool(taken))
        greedy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await greedy
        assert ids(taken[-1])[-1] < 5_000  # it had to let us in before the end

    run(scenario())


def test_an_idle_subscriber_gets_heartbeats() -> None:
    async def scenario() -> None:
        subscriber = Subscriber(Tail(MemoryStore(), heartbeat_s=0.001), 0)
        assert [await subscriber.take() for _ in range(3)] == [HEARTBEAT] * 3

    run(scenario())


def test_a_heartbeat_is_a_comment_that_ends_no_message() -> None:
    assert re.fullmatch(rb":[^\n]*\n", HEARTBEAT)


def test_a_subscriber_to_nothing_gets_heartbeats_while_others_get_events() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store, heartbeat_s=0.001)
        subscriber = Subscriber(tail, 0, Subscription(criteria=Criteria(kinds=frozenset({"flag_swapped"}))))
        store.fill(10)
        assert await subscriber.take() == b": at event 10\n"
        assert await subscriber.take() == HEARTBEAT

    run(scenario())


def test_closing_ends_a_stream_after_the_last_committed_event() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store, ring_events=10)
        behind, idle = Subscriber(tail, 0), Subscriber(tail, 0)
        waiting = await idle.waits()
        store.fill(50)
        tail.close()
        await waiting
        assert await behind.rest() == list(range(1, 51))
        assert await idle.rest() == list(range(1, 51))

    run(scenario())


def test_closing_wakes_who_waits() -> None:
    async def scenario() -> None:
        tail = Tail(MemoryStore())
        ended = asyncio.create_task(Subscriber(tail, 0).rest())
        await until(lambda: tail.subscribers == 1)
        tail.close()
        assert await ended == []

    run(scenario())


def test_events_committed_while_closing_are_still_sent() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        ended = asyncio.create_task(Subscriber(tail, 0).rest())
        await until(lambda: tail.subscribers == 1)
        tail.close()
        store.fill(3)
        assert await ended == [1, 2, 3]

    run(scenario())


def test_subscribers_are_counted_while_they_follow() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        tail = Tail(store)
        assert tail.subscribers == 0
        subscribers = [Subscriber(tail, 0) for _ in range(3)]
        waiting = [await subscriber.waits() for subscriber in subscribers]
        assert tail.subscribers == 3
        waiting[0].cancel()  # while it waits
        await asyncio.gather(waiting[0], return_exceptions=True)
        assert tail.subscribers == 2
        store.fill(1)
        await asyncio.gather(*waiting[1:])
        await subscribers[1].chunks.aclose()  # while it has a chunk to send
        assert tail.subscribers == 1
        tail.close()
        await subscribers[2].rest()
        assert tail.subscribers == 0

    run(scenario())
