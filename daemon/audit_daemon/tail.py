"""The tail: what was just committed, for every subscriber by its own cursor.

A subscriber is a cursor, the id of the last event that it has dealt with. When events come in, it gets all that is
new in one chunk, from a ring of the latest events; when it has fallen out of the ring, from the store. So a slow
reader loses nothing and costs nothing but its socket's buffer, resuming is the same code path as starting, and
history meets live without gap or repeat, because both are the same sequence of ids.

What is new is encoded once for all subscribers with the same subscription and cursor. Wake-ups come at most every
TICK_S, which bounds the cost of many subscribers: 500 of them are woken 50 times a second, however much arrives.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import islice

import msgspec

from audit_daemon.store.protocol import Store
from audit_stream.canonical import splice_hash
from audit_stream.chain import Linked
from audit_stream.event import Event
from audit_stream.filters import matches
from audit_stream.logfile.query import EVERYTHING, Criteria, EventQuery, Layout, Page

__all__ = ["HEARTBEAT", "SSE", "SSE_UNNAMED", "Subscription", "Tail"]

SSE = Layout("event: {kind}\nid: {event_id}\ndata: {event}\n\n")
SSE_UNNAMED = Layout("id: {event_id}\ndata: {event}\n\n")
"""Server-sent events (WHATWG HTML, 9.2.6), with the kind as the message's name and without a name."""

TICK_S = 0.02
HEARTBEAT_S = 15.0

HEARTBEAT = b": keep-alive\n"
"""A comment line (WHATWG HTML, 9.2.5) without the empty line that would end a message: readers that take an empty
line for a message, as httpx-sse does once it has seen an id, are not woken by it."""

RING_EVENTS = 20_000
RING_BYTES = 24 << 20
"""What the ring holds at most: 10 s of 2,000 events a second, and a bound for large payloads."""

_CHUNK_BYTES = 256 << 10
_CHUNK_EVENTS = 500
"""How much one write to a subscriber holds at most: a stalled reader pins no more than this."""

_HISTORY_EVENTS = 50_000
"""How much of the log one search for a subscriber covers: however rare what it wants, it gets on."""

_EXAMINED_BYTES = 64 << 10
"""How much a filter looks at in one turn of the event loop: one can be written that takes long for each event."""

_MAX_SHARED = 8
"""Chunks that are kept until the next commit: subscribers at other places than the end share with nobody."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Which events a subscriber gets, and how they are laid out. Equal subscriptions share their encoding."""

    criteria: Criteria = EVERYTHING
    layout: Layout = SSE


class _Recent:
    """One event in the ring; what is derived from it is computed when a subscriber first needs it."""

    __slots__ = ("_frames", "linked")

    def __init__(self, linked: Linked) -> None:
        self.linked = linked
        self._frames: dict[Layout, bytes] = {}

    def fits(self, criteria: Criteria) -> bool:
        prepared = self.linked.prepared
        if criteria.kinds is not None and prepared.kind not in criteria.kinds:
            return False
        if criteria.sources is not None and prepared.source not in criteria.sources:
            return False
        if criteria.since_ms is not None and (prepared.time_ms is None or prepared.time_ms < criteria.since_ms):
            return False
        if criteria.until_ms is not None and (prepared.time_ms is None or prepared.time_ms > criteria.until_ms):
            return False
        return criteria.filter is None or matches(criteria.filter, self._decoded())

    def frame(self, layout: Layout) -> bytes:
        frame = self._frames.get(layout)
        if frame is None:
            linked = self.linked
            frame = layout.render(kind=linked.prepared.kind, event_id=linked.event_id, event=self._served())
            self._frames[layout] = frame
        return frame

    def _decoded(self) -> Event:
        """Not kept: a payload takes many times its bytes, and subscribers with the same filter share their chunks."""
        return msgspec.json.decode(self._served(), type=Event)

    def _served(self) -> bytes:
        return splice_hash(self.linked.canonical, self.linked.hash)


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
        self._ring_events = ring_events
        self._ring_bytes = ring_bytes
        self._ring: deque[Linked] = deque()
        self._recent: dict[int, _Recent] = {}  # of events in the ring that a subscriber has needed
        self._size_bytes = 0
        self._last_id = store.head.event_id
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._tick: asyncio.TimerHandle | None = None
        self._last_tick = 0.0
        self._shared: dict[tuple[int, Subscription], tuple[bytes, int]] = {}
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
        return self._last_id

    def publish(self, events: Sequence[Linked]) -> None:
        """Take in a commit: consecutive events, right after those before."""
        self._ring.extend(events)
        self._size_bytes += sum(len(event.canonical) for event in events)
        while len(self._ring) > self._ring_events or self._size_bytes > self._ring_bytes:
            evicted = self._ring.popleft()
            self._size_bytes -= len(evicted.canonical)
            self._recent.pop(evicted.event_id, None)
        self._last_id = events[-1].event_id
        self._shared.clear()
        if self._tick is None and self._waiting:
            self._tick = self._loop.call_at(max(self._last_tick + TICK_S, self._loop.time()), self._wake)

    async def follow(self, cursor: int, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        """Everything that fits after event `cursor`, for ever: chunks of whole messages, or HEARTBEAT.

        Ends when the tail is closed; the events committed until then have been yielded.
        """
        self.subscribers += 1
        try:
            beats = self._beats
            while True:
                if self._is_history(cursor):
                    page, upto = await self._history(cursor, subscription)
                    async for chunk in self._store.read(page.ids, subscription.layout):
                        if chunk:
                            yield chunk
                    cursor = upto
                else:
                    chunk, cursor = self._latest(cursor, subscription)
                    if chunk:
                        yield chunk
                if cursor < self._last_id:
                    await asyncio.sleep(0)  # a peer that is gone takes all at once: others, and its end, come first
                    continue
                if self.closed:
                    return
                if self._beats != beats:
                    beats = self._beats
                    yield HEARTBEAT
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

    @property
    def _oldest_id(self) -> int:
        """The first event that is in the ring."""
        return self._ring[0].event_id if self._ring else self._last_id + 1

    def _is_history(self, cursor: int) -> bool:
        """Whether what follows `cursor` has left the ring."""
        return cursor + 1 < self._oldest_id and cursor < self._last_id

    def _latest(self, cursor: int, subscription: Subscription) -> tuple[bytes, int]:
        """A chunk of what follows `cursor` in the ring, perhaps empty, and the id up to which it deals with the log."""
        if cursor >= self._last_id:
            return b"", cursor
        shared = self._shared.get((cursor, subscription))
        if shared is None:
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            shared = self._shared[cursor, subscription] = self._from_ring(cursor + 1 - self._oldest_id, subscription)
        return shared

    def _from_ring(self, index: int, subscription: Subscription) -> tuple[bytes, int]:
        frames = []
        size_bytes = examined_bytes = 0
        last_id = 0
        filtered = subscription.criteria.filter is not None
        for linked in islice(self._ring, index, index + _CHUNK_EVENTS):
            last_id = linked.event_id
            recent = self._recent.get(last_id)
            if recent is None:
                recent = self._recent[last_id] = _Recent(linked)
            if recent.fits(subscription.criteria):
                frames.append(recent.frame(subscription.layout))
                size_bytes += len(frames[-1])
            examined_bytes += len(linked.canonical)
            if size_bytes >= _CHUNK_BYTES or (filtered and examined_bytes >= _EXAMINED_BYTES):
                break
        return b"".join(frames), last_id

    async def _history(self, cursor: int, subscription: Subscription) -> tuple[Page, int]:
        """The next page of what has left the ring, and the id up to which it deals with the log."""
        upto = min(self._last_id, cursor + _HISTORY_EVENTS)
        query = EventQuery(
            criteria=subscription.criteria,
            min_id=cursor + 1,
            max_id=upto,
            limit=_CHUNK_EVENTS,
            forward=True,
        )
        page = await self._store.find(query)
        return page, page.ids[-1] if page.more else upto

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
