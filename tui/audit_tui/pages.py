"""Pages of the history, from memory where they are still there, otherwise from the log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from audit_stream.client import EVERYTHING, Selection, Served
from audit_tui.log import Log
from audit_tui.model.ring import MAX_ROWS, Ring
from audit_tui.model.rows import Gap, Row
from audit_tui.model.view import Item, View

__all__ = ["PAGE", "Pages"]

PAGE = 500
"""Events of one page: ten screens, some milliseconds of the daemon's time."""


class Pages:
    """Fills `view` at its ends, under its filter. `read` gives None for rubbish.

    Belongs to the event loop's thread. All methods that read raise ClientError.
    """

    def __init__(self, log: Log, ring: Ring, view: View, read: Callable[[Served], Row | None]) -> None:
        self._log = log
        self._ring = ring
        self._view = view
        self._read = read

    async def load_older(self) -> None:
        """Put a page before the window."""
        view = self._view
        before_id = _first_id(view.items[0]) if view.items else self._ring.rows[0].event_id if self._ring.rows else None
        if before_id is not None and before_id <= 1:
            view.at_start = True
            return
        beginning = view.beginning
        rows, exhausted = await self._page(self._selection, PAGE, before_id=before_id)
        if view.beginning == beginning:
            view.prepend(rows, exhausted=exhausted)

    async def load_newer(self) -> None:
        """Put a page after a detached window; the one that reaches what just came in attaches it."""
        view, ring = self._view, self._ring
        after_id = _last_id(view.items[-1]) if view.items else 0
        beginning = view.beginning
        if ring.after(after_id, 1) is None:
            rows, exhausted = await self._page(self._selection, PAGE, since_id=after_id)
            if view.beginning != beginning:
                return
            view.append(rows, live=False)
            if not exhausted:
                return
            # Nothing more in the log that passes: what has come in since that answer is in the ring.
            after_id = max([after_id, *(row.event_id for row in rows[-1:])])
        held = ring.after(max(after_id, ring.rows[0].event_id - 1), MAX_ROWS) if ring.rows else []
        passing = [row for row in held or () if view.passes(row)]
        view.append(passing[:PAGE], live=len(passing) <= PAGE)

    async def load_gap(self, gap: Gap) -> None:
        """Put the events of a gap where it is, those that pass the filter, at most a page of them."""
        view = self._view
        beginning = view.beginning
        rows, exhausted = await self._page(self._selection, min(PAGE, gap.count), since_id=gap.first - 1)
        within = [row for row in rows if row.event_id <= gap.last]
        if view.beginning == beginning:
            view.fill(gap, within, exhausted=exhausted or len(within) < len(rows))

    async def show_around(self, event_id: int) -> None:
        """Show the history around an event."""
        before, at_start = await self._page(self._selection, PAGE, before_id=event_id)
        after, _ = await self._page(self._selection, PAGE, since_id=event_id - 1)
        self._view.show_page([*before, *after])
        self._view.at_start = self._view.at_start or (at_start and not before)

    async def id_at(self, at: str) -> int | None:
        """The first event that passes at or after an RFC 3339 instant."""
        rows, _ = await self._page(Selection(q=self._view.query, since=at), 1, since_id=0)
        return rows[0].event_id if rows else None

    async def around(self, event_id: int, *, each_side: int = 3) -> list[Row]:
        """The events around one, whatever the filter."""
        rows, _ = await self._page(EVERYTHING, 2 * each_side + 1, since_id=max(0, event_id - each_side - 1))
        return rows

    @property
    def _selection(self) -> Selection:
        return Selection(q=self._view.query)

    async def _page(
        self, selection: Selection, limit: int, *, since_id: int | None = None, before_id: int | None = None
    ) -> tuple[list[Row], bool]:
        """The rows of a page, and whether the log has no more in that direction. What is no event is left out."""
        events = self._log.events(selection, limit=limit, since_id=since_id, before_id=before_id)
        count, rows = 0, []
        async with contextlib.aclosing(events) as served:
            async for event in served:
                count += 1
                if (row := self._read(event)) is not None:
                    rows.append(row)
        return rows, count < limit


def _first_id(item: Item) -> int:
    return item.event_id if isinstance(item, Row) else item.first


def _last_id(item: Item) -> int:
    return item.event_id if isinstance(item, Row) else item.last
