"""The tail: what was just committed, for every subscriber by its own cursor.

A subscriber is a cursor, the id of the last event that it has dealt with. When events come in, it gets all that is
new in one chunk, from a ring of the latest events (`ring.py`); when it has fallen out of the ring, from the store. So a
slow reader loses nothing and costs nothing but its socket's buffer, resuming is the same code path as starting, and
history meets live without gap or repeat, because both are the same sequence of ids.

What is new is encoded once for all subscribers with the same subscription and cursor. Wake-ups come at most every
TICK_S, which bounds the cost of many subscribers: 500 of them are woken 50 times a second, however much arrives. Those
that replay the ring, or whose filter must look at events, share the loop's turns (`turns.py`).

A subscriber whose filter lets nothing through for long is told how far its stream has come, so that it need not begin
again when its connection breaks.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Sequence
from time import perf_counter

from audit_daemon.ring import CHUNK_EVENTS, SSE, SSE_UNNAMED, Ring, Subscription, examine
from audit_daemon.store.protocol import Store
from audit_daemon.turns import Turns
from audit_stream.chain import ChainedEvent
from audit_stream.logfile.errors import SearchStopped
from audit_stream.logfile.query import Criteria, EventQuery, Page, PageFormat

__all__ = ["HEARTBEAT", "SSE", "SSE_UNNAMED", "Subscription", "Tail", "place"]

TICK_S = 0.02
HEARTBEAT_S = 15.0

HEARTBEAT = b": keep-alive\n"
"""A comment line (WHATWG HTML, 9.2.5) without the empty line that would end a message: readers that take an empty
line for a message, as httpx-sse does once it has seen an id, are not woken by it."""

RING_EVENTS = 20_000
RING_BYTES = 24 << 20
"""What the ring holds at most: 10 s of 2,000 events a second, and a bound for large payloads."""

_HISTORY_EVENTS = 50_000
"""How much of the log one search for a subscriber covers: however rare what it wants, it gets on."""

_TELL_S = 1.0
"""How often a subscriber that gets nothing is told how far a search has come."""

_SEND_S, _SEND_BYTE_S = 0.0001, 2e-9
"""What sending a chunk takes of the event loop's turn, beside making it."""

_MAX_SHARED = 8
"""Chunks that are kept until the next commit: subscribers at other places than the end share with nobody."""


def place(event_id: int, page_format: PageFormat) -> bytes:
    """What tells a client where its stream has come to: from there it goes on when its connection breaks.

    A comment, which `audit_stream.client` reads. Browsers need the id in a block without data: it dispatches nothing
    and is what an EventSource sends as Last-Event-ID. Clients of 0.1.0 read `/stream`, and httpx-sse would hand such a
    block to them as a message.
    """
    comment = b": at event %d\n" % event_id
    return comment + b"id: %d\n\n" % event_id if page_format is SSE_UNNAMED else comment


class Tail:
    """Distributes commits. Everything here belongs to the event loop's thread."""

    def __init__(
        self,
        store: Store,
        *,
        ring_events: int = RING_EVENTS,
        ring_bytes: int = RING_BYTES,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._store = store
        self._ring = Ring(max_events=ring_events, max_bytes=ring_bytes, last_id=store.head.event_id)
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._loop)
        self._waiting: list[asyncio.Future[None]] = []
        self._tick: asyncio.TimerHandle | None = None
        self._last_tick = 0.0
        self._shared: dict[tuple[int, Subscription], tuple[bytes, int]] = {}
        self._examined: dict[tuple[int, Criteria], asyncio.Task[None]] = {}  # by a thread, for all who ask
        self._examines = asyncio.Lock()  # one at a time: several would only take the interpreter's lock
        self._heartbeat_s = heartbeat_s
        self._heartbeat = self._loop.call_later(heartbeat_s, self._beat)
        self._beats = 0
        self.closed = False
        self.subscribers = 0
        self._departed = False
        store.on_commit(self.publish)

    @property
    def last_id(self) -> int:
        """The id of the last event that was published."""
        return self._ring.last_id

    def publish(self, events: Sequence[ChainedEvent]) -> None:
        """Take in a commit: consecutive events, right after those before."""
        self._ring.extend(events)
        self._shared.clear()
        if self._tick is None and self._waiting:
            self._tick = self._loop.call_at(max(self._last_tick + TICK_S, self._loop.time()), self._wake)

    async def follow(self, cursor: int, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        """Everything that fits after event `cursor`, for ever: chunks of whole messages, HEARTBEAT, or a `place`.

        Ends when the tail is closed; the events committed until then have been yielded.
        """
        self.subscribers += 1
        try:
            beats = self._beats
            told, told_s = cursor, self._loop.time()  # where the client would go on, and since when it knows
            while True:
                shared = self._shared.get((cursor, subscription))  # what most get who are at the live end
                costly = None if shared else self._ring.costly(cursor, subscription.criteria)
                if costly is not None:
                    examined = self._examine(costly, subscription.criteria)
                    while not (await asyncio.wait((examined,), timeout=self._heartbeat_s))[0]:
                        yield HEARTBEAT
                    examined.result()
                    continue
                if shared is None and self._is_costly(cursor, subscription):
                    await self._turns.take(urgent=self._is_urgent(cursor))
                if shared is None and self._is_history(cursor):
                    search = asyncio.ensure_future(self._history(cursor, subscription))
                    try:
                        while not (await asyncio.wait((search,), timeout=self._heartbeat_s))[0]:
                            yield HEARTBEAT
                        page = search.result()
                    except SearchStopped:  # the store is closing
                        return
                    finally:
                        search.cancel()
                    async for chunk in self._store.read(page.ids, subscription.page_format):
                        if chunk:
                            sending = [chunk]
                            del chunk
                            yield sending.pop()  # not held here while its reader takes its time
                            told, told_s = page.reached, self._loop.time()
                    cursor = page.reached
                else:
                    chunk, cursor = shared or self._latest(cursor, subscription)
                    if chunk:
                        sending = [chunk]
                        del chunk
                        yield sending.pop()
                        told, told_s = cursor, self._loop.time()
                if cursor < self._ring.last_id:
                    if told < cursor and self._loop.time() - told_s >= _TELL_S:
                        yield place(cursor, subscription.page_format)
                        told, told_s = cursor, self._loop.time()
                    await asyncio.sleep(0)  # a peer that is gone takes all at once: others, and its end, come first
                    continue
                if self.closed:
                    return
                if self._beats != beats:
                    beats = self._beats
                    yield HEARTBEAT if told == cursor else place(cursor, subscription.page_format)
                    told, told_s = cursor, self._loop.time()
                    continue
                woken = self._loop.create_future()
                self._waiting.append(woken)
                await woken
        finally:
            self.subscribers -= 1
            self._departed = True

    def close(self) -> None:
        """Let every subscriber finish what is committed, then end its stream."""
        self.closed = True
        self._heartbeat.cancel()
        self._wake()

    def _is_history(self, cursor: int) -> bool:
        """Whether what follows `cursor` has left the ring."""
        return cursor + 1 < self._ring.oldest_id and cursor < self.last_id

    def _is_costly(self, cursor: int, subscription: Subscription) -> bool:
        """Whether the next chunk takes the event loop's time: a filter, or a place that is shared with few."""
        if cursor >= self.last_id or self._is_history(cursor):
            return False
        return subscription.criteria.filter is not None or not self._is_urgent(cursor)

    def _is_urgent(self, cursor: int) -> bool:
        """Whether one chunk leads to the live end."""
        return self.last_id - cursor <= CHUNK_EVENTS

    def _latest(self, cursor: int, subscription: Subscription) -> tuple[bytes, int]:
        """A chunk of what follows `cursor` in the ring, perhaps empty, and the id up to which it deals with the log."""
        if cursor >= self.last_id:
            return b"", cursor
        shared = self._shared.get((cursor, subscription))
        if shared is None:
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            began = perf_counter()
            shared = self._shared[cursor, subscription] = self._ring.chunk(cursor, subscription)
            took_s = perf_counter() - began + _SEND_S + _SEND_BYTE_S * len(shared[0])
            self._turns.spend(took_s, urgent=self._is_urgent(cursor))
        return shared

    def _examine(self, event: ChainedEvent, criteria: Criteria) -> asyncio.Task[None]:
        """Find out in a thread whether an event passes a filter."""

        async def examined() -> None:
            try:
                async with self._examines:
                    verdict = await asyncio.to_thread(examine, event, criteria)
                self._ring.decide(event, criteria, verdict=verdict)
            finally:
                del self._examined[event.event_id, criteria]

        key = event.event_id, criteria
        task = self._examined.get(key)
        if task is None:
            task = self._examined[key] = self._loop.create_task(examined())
        return task

    async def _history(self, cursor: int, subscription: Subscription) -> Page:
        """The next page of what has left the ring; what it has not reached is for the next one."""
        query = EventQuery(
            criteria=subscription.criteria,
            min_id=cursor + 1,
            max_id=min(self.last_id, cursor + _HISTORY_EVENTS),
            limit=CHUNK_EVENTS,
            forward=True,
        )
        return await self._store.find_some(query)

    def _beat(self) -> None:
        self._beats += 1
        if self._departed:  # the server's objects of a connection refer to one another, and may hold its last chunk
            self._departed = False
            gc.collect()
        self._heartbeat = self._loop.call_later(self._heartbeat_s, self._beat)
        self._wake()

    def _wake(self) -> None:
        self._tick = None
        self._last_tick = self._loop.time()
        waiting, self._waiting = self._waiting, []
        for woken in waiting:
            if not woken.done():
                woken.set_result(None)
