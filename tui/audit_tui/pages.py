"""Parts of the history for the window, from memory where they are still there, otherwise from the log."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from audit_stream.client import EVERYTHING, RawEvent, Selection
from audit_stream.client.failures import Again, back_off_s
from audit_tui.log import Log
from audit_tui.model.part import Part, of_log, within
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Gap, Row
from audit_tui.model.view import View

__all__ = ["PAGE", "Pages"]

PAGE = 500
"""Events of one page: ten screens, some milliseconds of the daemon's time."""

PAGE_BYTES = 4 << 20
"""A page ends sooner with events that are large: 500 of the largest are twice what a window holds of the history, and
would push out the very row from which somebody moves up. 64 of them are more than a screen."""

_FIRST_REACH = 10_000
"""Ids that the first request of a search looks through: a few milliseconds of a daemon's time for any filter."""
_FAST_S, _SLOW_S = 0.15, 1.0
"""After an answer within the one the next request reaches four times as far, after one beyond the other half as far."""


class Pages:
    """Fills `view` at its ends, under its filter. `read` gives None for rubbish.

    Under a filter it goes by ids in ranges that take the log about a second or less, so that it is known how far it
    is, and no request lasts long enough to be given up. `waits_for` is why a search waits, empty when none does, and
    `searched_to` how far the search for a place to show has come, 0 when there is none.

    Belongs to the event loop's thread. All methods that read raise ClientError.
    """

    def __init__(self, log: Log, ring: Ring, view: View, read: Callable[[RawEvent], Row | None]) -> None:
        self._log = log
        self._ring = ring
        self._view = view
        self._read = read
        self._reach, self._reach_of = _FIRST_REACH, 0
        self.waits_for = ""
        self.searched_to = 0

    async def load_older(self) -> None:
        """Put a part before the window."""
        view = self._view
        if not view.at_start and not view.look_back(self._ring):
            view.prepend(await self.before(view.low))

    async def load_newer(self) -> None:
        """Put a part after a detached window; the one that reaches what just came in attaches it."""
        view, ring = self._view, self._ring
        if not view.attached and not view.look_on(ring):
            view.append(await self.after(view.high, ring.rows[0].event_id - 1 if ring.rows else view.live))

    async def load_gap(self, gap: Gap) -> None:
        """Put the events of a gap where it is: a page of those that pass, or none if none of the whole gap does."""
        after = gap.first - 1
        while gap.count:
            part = await self.after(after, gap.last)
            if not self._view.fill(gap, part) or part.items:
                return
            after = part.high
            gap = Gap(after + 1, gap.last)

    async def show_around(self, event_id: int) -> None:
        """Show the history around an event, or around the first one after it that passes."""
        view = self._view
        beginning, live = view.beginning, view.live
        at = max(1, min(event_id, live + 1))
        try:
            parts = [await self.after(at - 1, live)]
            while not parts[-1].items and parts[-1].high < live and view.beginning == beginning:
                self.searched_to = parts[-1].high
                parts.append(await self.after(self.searched_to, live))
            view.show(await self.before(at), *parts)
        finally:
            self.searched_to = 0

    async def id_at(self, at: str) -> int | None:
        """The first event at or after an RFC 3339 instant, whatever the filter."""
        served = self._log.events(Selection(since=at), limit=1, since_id=0)
        async with contextlib.aclosing(served) as events:
            async for event in events:
                row = self._read(event)
                return None if row is None else row.event_id
        return None

    async def around(self, event_id: int, *, each_side: int = 3) -> list[Row]:
        """The events around one, whatever the filter."""
        low = max(1, event_id - each_side)
        _, rows = await self._page(EVERYTHING, low, low + 2 * each_side, newest_first=False)
        return rows

    async def before(self, event_id: int) -> Part:
        """A part that ends right before an event: a page of those that pass, or as far as a search reaches at once."""
        return await self._part(1, event_id - 1, newest_first=True)

    async def after(self, event_id: int, last: int) -> Part:
        """A part that begins right after an event and ends at `last` or before: as much as `before` gives."""
        return await self._part(event_id + 1, last, newest_first=False)

    async def _part(self, low: int, high: int, *, newest_first: bool) -> Part:
        view = self._view
        beginning, filtered, selection = view.beginning, view.filtered, Selection(q=view.query)
        if beginning != self._reach_of:  # another filter may be much slower
            self._reach, self._reach_of = _FIRST_REACH, beginning
        failures, at_most = 0, high
        while low <= high:
            reach = min(self._reach, at_most) if filtered else at_most
            first, last = (max(low, high - reach + 1), high) if newest_first else (low, min(high, low + reach - 1))
            started = time.monotonic()
            try:
                whole, rows = await self._page(selection, first, last, newest_first=newest_first)
            except Again as error:
                if not filtered or error.status is None:
                    raise
                self._reach = max(PAGE, self._reach // 2)  # it may have taken too long, and otherwise does no harm
                wait_s = max(error.retry_after_s, back_off_s(failures, random.random()))  # noqa: S311 - no secret
                failures += 1
                await self._wait(str(error), wait_s)
                continue
            if whole:
                self._took(time.monotonic() - started)
                return of_log(beginning, first, last, rows, filtered=filtered)
            if rows := within(first, last, rows):
                first, last = (rows[0].event_id, last) if newest_first else (first, rows[-1].event_id)
                return of_log(beginning, first, last, rows, filtered=filtered)
            at_most = min(PAGE, (last - first + 1) // 2)  # nothing can be read that would say how far the page goes
        return Part(beginning=beginning, low=low, high=low - 1)

    def _took(self, seconds: float) -> None:
        """What a range took that was looked through to its end."""
        if seconds < _FAST_S:
            self._reach *= 4
        elif seconds > _SLOW_S:
            self._reach = max(PAGE, self._reach // 2)

    async def _wait(self, reason: str, seconds: float) -> None:
        self.waits_for = reason
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waits_for = ""

    async def _page(self, selection: Selection, low: int, high: int, *, newest_first: bool) -> tuple[bool, list[Row]]:
        """At most a page of the events `low` to `high`: whether that is all, and those that can be read, ascending."""
        events = self._log.events(
            selection, limit=PAGE, since_id=low - 1, before_id=high + 1, newest_first=newest_first
        )
        count, size, rows = 0, 0, []
        async with contextlib.aclosing(events) as served:
            async for event in served:
                count += 1
                size += len(event.raw)
                if (row := self._read(event)) is not None:
                    rows.append(row)
                if count == PAGE or size >= PAGE_BYTES:
                    break
        whole = count > high - low or (count < PAGE and size < PAGE_BYTES)
        return whole, rows[::-1] if newest_first else rows
