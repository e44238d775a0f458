"""Following the log for as long as anybody wants, over connections that break."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from audit_stream.answers import Stats
from audit_stream.chain import GENESIS, Head
from audit_stream.client.decoding import RawEvent, decode
from audit_stream.client.failures import LONGEST_WAIT_S, Again, back_off_s
from audit_stream.client.messages import Reached
from audit_stream.client.selection import Selection
from audit_stream.errors import ClientError

__all__ = ["Live", "Lost", "OtherHistory", "Tailed", "follow"]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The tail is connected: everything after event `after_id` that is selected follows."""

    after_id: int


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The tail is not connected; it tries again in `retry_in_s` seconds and goes on where it was."""

    reason: str
    retry_in_s: float


class OtherHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's log no longer holds `seen`, an event that this tail has had: it was cut, rewritten or replaced.

    The tail goes on after event `head`, or after `seen` when the log is still that long.
    """

    seen: Head
    head: Head


Tailed = RawEvent | Live | Lost | OtherHistory


class Followed(Protocol):
    """The daemon as a tail needs it; `Client` is one."""

    async def stats(self) -> Stats: ...

    async def event(self, event_id: int, /) -> RawEvent | None: ...

    def stream(
        self, selection: Selection, after_id: int, /
    ) -> AbstractAsyncContextManager[AsyncGenerator[RawEvent | Reached]]: ...


async def follow(
    daemon: Followed,
    selection: Selection,
    since_id: int | None,
    *,
    sleep: Callable[[float], Awaitable[None]],
    jitter: Callable[[], float],
    clock_s: Callable[[], float],
) -> AsyncGenerator[Tailed]:
    """What `Client.tail` gives.

    A connection counts as good once an event has come, or when it has lasted as long as we wait at most: not when it
    opens, because what ends each at once would be asked without a pause for ever. So it does once the stream has told
    that it has come further without an event: it goes on from there.
    """
    place = None if since_id is None else Head(since_id, "")
    reached = 0
    failures = 0
    while True:
        opened_s: float | None = None
        try:
            place, other = await _confirm(daemon, place)
            if other is not None:
                yield other
            if other is not None or (reached > place.event_id and await daemon.event(reached) is None):
                reached = 0  # of another history, or further than this one goes
            after_id = max(place.event_id, reached)
            async with daemon.stream(selection, after_id) as served:
                opened_s = clock_s()
                yield Live(after_id=after_id)
                async for event in served:
                    if isinstance(event, Reached):
                        failures = 0 if event.event_id > max(place.event_id, reached) else failures
                        reached = max(reached, event.event_id)
                        continue
                    before, place = place, decode(event.raw, Head)
                    if place.event_id > before.event_id:
                        failures = 0
                    yield event
            reason = "the daemon ended the stream"
        except ClientError as error:
            if not isinstance(error, Again):
                raise
            reason = str(error)
        if opened_s is not None and clock_s() - opened_s >= LONGEST_WAIT_S:
            failures = 0
        wait_s = back_off_s(failures, jitter())
        failures += 1
        yield Lost(reason=reason, retry_in_s=wait_s)
        await sleep(wait_s)


async def _confirm(daemon: Followed, place: Head | None) -> tuple[Head, OtherHistory | None]:
    """Where to go on, and whether the daemon's log still holds the event of that place.

    The stream's own opening comment would say so too, but it knows ids only, and SSE readers drop comments.
    """
    if place is None or place.event_id == 0:
        return (await daemon.stats()).head if place is None else GENESIS, None
    found = await daemon.event(place.event_id)
    there = None if found is None else decode(found.raw, Head)
    if there is None:
        head = (await daemon.stats()).head
        if head.event_id >= place.event_id:  # it came in between
            return place, None
        return head, OtherHistory(seen=place, head=head)
    if there.event_id != place.event_id:  # bytes of another event: of `seen` nothing is there
        head = (await daemon.stats()).head
        return Head(place.event_id, ""), OtherHistory(seen=place, head=head) if place.hash else None
    if place.hash in ("", there.hash):
        return there, None
    return there, OtherHistory(seen=place, head=(await daemon.stats()).head)
