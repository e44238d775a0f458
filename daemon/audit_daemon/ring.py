"""The latest events in memory, and which of them a subscription gets, laid out once for all who want them so.

What a filter says of an event is worked out once for all subscriptions with that filter: a replay by the second costs
looking it up. Decoded payloads, which take many times their bytes, are kept of a few events only, for the subscribers
with different filters that go through the ring side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any

import msgspec

from audit_stream.canonical import splice_hash
from audit_stream.chain import ChainedEvent
from audit_stream.event import Event
from audit_stream.filters import Filter
from audit_stream.filters.matching import Subject, passes
from audit_stream.filters.tree import PayloadHas, TextContains
from audit_stream.logfile.query import EVERYTHING, Criteria, PageFormat
from audit_stream.numbers import read_float

__all__ = ["CHUNK_EVENTS", "SSE", "SSE_UNNAMED", "Ring", "Subscription", "examine"]

SSE = PageFormat("event: {kind}\nid: {event_id}\ndata: {event}\n\n")
SSE_UNNAMED = PageFormat("id: {event_id}\ndata: {event}\n\n")
"""Server-sent events (WHATWG HTML, 9.2.6), with the kind as the message's name and without a name."""

CHUNK_BYTES = 64 << 10
CHUNK_EVENTS = 500
"""How much one write to a subscriber holds at most: a stalled reader pins no more than this."""

_EXAMINED_S = 0.001
"""How long a filter looks at events in one turn of the event loop, but for the last one: a filter can be written that
takes long for each."""

_DECODED_BYTES = 256 << 10
"""Of canonical bytes, those of the events whose decoded payloads are kept; these take some twenty times as much."""

_MAX_EFFORT = 8 << 10
"""Bytes of an event times values of a filter that are compared on the event loop's thread: 2 ms at worst. The largest
event and filter take 2 s, and are left to a thread."""

_BLOCK_EVENTS = 64
_KEPT_BLOCKS = 20_000
"""Blocks of verdicts, of some 250 bytes each: a ring of 20,000 events is 313 blocks a filter."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Which events a subscriber gets, and how they are laid out. Equal subscriptions share their encoding."""

    criteria: Criteria = EVERYTHING
    page_format: PageFormat = SSE


class Ring:
    """Consecutive events, the oldest of which make way. Belongs to the event loop's thread."""

    def __init__(self, *, max_events: int, max_bytes: int, last_id: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[ChainedEvent] = deque()
        self._size_bytes = 0
        self._frames: dict[int, dict[PageFormat, bytes]] = {}  # of events that a subscriber has needed
        self._subjects: dict[int, Subject] = {}
        self._subject_bytes = 0
        self._verdicts: dict[tuple[Criteria, int], list[int]] = {}  # by block: how many are decided, and their bits
        self.last_id = last_id

    @property
    def oldest_id(self) -> int:
        """The first event that is there."""
        return self._events[0].event_id if self._events else self.last_id + 1

    def extend(self, events: Sequence[ChainedEvent]) -> None:
        """Take in events, right after those before."""
        self._events.extend(events)
        self._size_bytes += sum(len(event.canonical) for event in events)
        self.last_id = events[-1].event_id
        while len(self._events) > self._max_events or self._size_bytes > self._max_bytes:
            evicted = self._events.popleft()
            self._size_bytes -= len(evicted.canonical)
            self._frames.pop(evicted.event_id, None)

    def chunk(self, cursor: int, subscription: Subscription) -> tuple[bytes, int]:
        """The next that a subscription gets after event `cursor`, perhaps nothing, and the id up to which that is all.

        Bounded in bytes, in events, and in the time that a filter takes.
        """
        criteria, page_format = subscription.criteria, subscription.page_format
        frames: list[bytes] = []
        size_bytes = 0
        first = self.oldest_id
        ends = perf_counter() + _EXAMINED_S
        for index in range(cursor + 1 - first, min(len(self._events), cursor + 1 - first + CHUNK_EVENTS)):
            event = self._events[index]
            if frames and size_bytes + len(event.canonical) > CHUNK_BYTES:
                break
            if self._is_costly(event, criteria):
                break
            cursor = event.event_id
            made = event.prepared
            if criteria.admits(made.kind, made.source, made.time_ms) and (
                criteria.filter is None or self._passes(event, criteria)
            ):
                frames.append(self._frame(event, page_format))
                size_bytes += len(frames[-1])
            if criteria.filter is not None and perf_counter() > ends:
                break
        return b"".join(frames), cursor

    def costly(self, cursor: int, criteria: Criteria) -> ChainedEvent | None:
        """The event after `cursor` when a thread must say first whether it passes the filter (`examine`, `decide`)."""
        index = cursor + 1 - self.oldest_id
        if criteria.filter is None or not 0 <= index < len(self._events):
            return None
        event = self._events[index]
        return event if self._is_costly(event, criteria) else None

    def decide(self, event: ChainedEvent, criteria: Criteria, *, verdict: bool) -> None:
        """Keep what `examine` has found."""
        block, offset = divmod(event.event_id, _BLOCK_EVENTS)
        verdicts = self._verdicts_of(criteria, block)
        verdicts[:] = verdicts[0] | 1 << offset, verdicts[1] | verdict << offset

    def _is_costly(self, event: ChainedEvent, criteria: Criteria) -> bool:
        if criteria.filter is None or len(event.canonical) * _values(criteria.filter) <= _MAX_EFFORT:
            return False
        block, offset = divmod(event.event_id, _BLOCK_EVENTS)
        verdicts = self._verdicts.get((criteria, block))
        if verdicts is not None and verdicts[0] >> offset & 1:
            return False
        return criteria.admits(event.prepared.kind, event.prepared.source, event.prepared.time_ms)

    def _frame(self, event: ChainedEvent, page_format: PageFormat) -> bytes:
        frames = self._frames.setdefault(event.event_id, {})
        frame = frames.get(page_format)
        if frame is None:
            served = splice_hash(event.canonical, event.hash)
            frame = frames[page_format] = page_format.render(
                kind=event.prepared.kind, event_id=event.event_id, event=served
            )
        return frame

    def _passes(self, event: ChainedEvent, criteria: Criteria) -> bool:
        """Whether the event passes the filter; from what was found before, if it was."""
        block, offset = divmod(event.event_id, _BLOCK_EVENTS)
        decided, bits = self._verdicts_of(criteria, block)
        if decided >> offset & 1:
            return bool(bits >> offset & 1)
        assert criteria.filter is not None
        verdict = passes(criteria.filter, self._subject(event))
        self.decide(event, criteria, verdict=verdict)
        return verdict

    def _verdicts_of(self, criteria: Criteria, block: int) -> list[int]:
        verdicts = self._verdicts.get((criteria, block))
        if verdicts is None:
            while len(self._verdicts) >= _KEPT_BLOCKS:
                del self._verdicts[next(iter(self._verdicts))]
            verdicts = self._verdicts[criteria, block] = [0, 0]
        return verdicts

    def _subject(self, event: ChainedEvent) -> Subject:
        subject = self._subjects.get(event.event_id)
        if subject is None:
            self._subject_bytes += len(event.canonical)
            if self._subject_bytes > _DECODED_BYTES:
                self._subjects.clear()
                self._subject_bytes = len(event.canonical)
            subject = self._subjects[event.event_id] = _subject_of(event)
        return subject


def examine(event: ChainedEvent, criteria: Criteria) -> bool:
    """Whether the event passes the filter. In any thread."""
    return criteria.filter is None or passes(criteria.filter, _subject_of(event))


@lru_cache(maxsize=1024)
def _values(filter_: Filter) -> int:
    """How many values the filter compares the content of an event with."""
    tests = [term.test for term in filter_.terms]
    return sum(
        len(test.values) if isinstance(test, PayloadHas) else len(test.substrings)
        for test in tests
        if isinstance(test, PayloadHas | TextContains)
    )


_decoder = msgspec.json.Decoder(Event, float_hook=read_float)


def _subject_of(event: ChainedEvent) -> Subject:
    def payload() -> dict[str, Any]:
        return _decoder.decode(splice_hash(event.canonical, event.hash)).payload

    prepared = event.prepared
    return Subject(
        kind=prepared.kind,
        source=prepared.source,
        event_id=event.event_id,
        time_ms=lambda: prepared.time_ms,
        payload=payload,
    )
