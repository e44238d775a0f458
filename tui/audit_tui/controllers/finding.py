"""Find: in what is loaded, and on in the history when asked to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from audit_tui.controllers.host import Host
from audit_tui.model.columns import line_text
from audit_tui.model.find import Finder
from audit_tui.model.part import Item
from audit_tui.model.rows import Row
from audit_tui.session import Session
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.find_bar import FindBar

__all__ = ["FindController"]

_SLICE = 500
_UP, _DOWN = -1, 1


@dataclass(eq=False)
class FindController:
    """A plain text in the rows that pass the filter.

    `at` is the event that it has come to in the history, 0 while it does not look there.
    """

    session: Session
    table: EventTable
    bar: FindBar
    host: Host
    at: int = 0
    _told: object = None  # where it was last said that what is loaded has no more: the same key goes on from there

    def open(self) -> None:
        """Find within what is loaded, while typing."""
        self.bar.open(self.table)

    def find(self, text: str) -> None:
        """Show what has the text, and go to the nearest; an empty text ends it."""
        finder = Finder(text) if text else None
        self.table.finder = finder
        self.table.redraw()
        if finder is not None:
            self.host.read(lambda: self._find(finder), group="find")

    def go_on(self, direction: int) -> None:
        """To the next event that has what is looked for; once more where there is none: on in the history."""
        finder = self.table.finder
        if finder is None:
            self.open()
            return
        self.host.unsay()
        if self._told == self._place(finder, direction):
            self.host.read(lambda: self._find_in_history(finder, direction), group="find")
        else:
            self.host.read(lambda: self._find_next(finder, direction), group="find")

    async def _find(self, finder: Finder) -> None:
        """While one types: the match that the cursor is on, or the first above it."""
        await self._go_to_match(finder, _UP, self.table.cursor.place)
        await self._count_matches(finder)

    async def _find_next(self, finder: Finder, direction: int) -> None:
        if await self._go_to_match(finder, direction, self.table.cursor.place + direction):
            await self._count_matches(finder)
            return
        view = self.session.view
        where, key, other = ("down", "n", "N goes up") if direction == _DOWN else ("up", "N", "n goes down")
        if view.attached if direction == _DOWN else view.at_start:
            self.host.say(f"no match further {where}: {other}")
        else:
            self._told = self._place(finder, direction)
            last = view.high if direction == _DOWN else view.low
            self.host.say(f"no match further {where} in what is loaded, to #{last:,}: {key} goes on in the history")

    async def _find_in_history(self, finder: Finder, direction: int) -> None:
        """The next match beyond what is loaded. The table stays as it is until there is one."""
        view, pages = self.session.view, self.session.pages
        beginning, live, low, high = view.beginning, view.live, view.low, view.high
        try:
            while (high < live if direction == _DOWN else low > 1) and view.beginning == beginning:
                self.at = high if direction == _DOWN else low
                self.host.show_change()
                part = await (pages.after(high, live) if direction == _DOWN else pages.before(low))
                found = next((row for row in part.items[::direction] if _has(finder, row)), None)
                if isinstance(found, Row):
                    await pages.show_around(found.event_id)
                    self.table.changed()
                    self.table.go_to(found.event_id)
                    await self._count_matches(finder)
                    return
                low, high = part.low, part.high
            if view.beginning == beginning:
                self.host.say(f"no match further {'down' if direction == _DOWN else 'up'}, in the history neither")
        finally:
            self.at = 0
            self.host.show_change()

    async def _go_to_match(self, finder: Finder, direction: int, place: int) -> bool:
        """To the first match from a place of the window on, in slices, so that keys are answered meanwhile."""
        items = list(self.session.view.items)
        end = len(items) if direction == _DOWN else -1
        for count, at in enumerate(range(place, end, direction), 1):
            item = items[at] if 0 <= at < len(items) else None
            if isinstance(item, Row) and _has(finder, item):
                self.table.go_to(item.event_id)
                self.host.show_change()
                return True
            if count % _SLICE == 0:
                await asyncio.sleep(0)
        return False

    async def _count_matches(self, finder: Finder) -> None:
        """Tell which of how many matches the cursor is on: in the bar, or once it is left in a notice."""
        bar, cursor_row, view = self.bar, self.table.cursor_row, self.session.view
        position = total = 0
        for count, item in enumerate(list(view.items), 1):
            if self.table.finder is not finder:
                return
            if _has(finder, item):
                total += 1
                position = total if item is cursor_row else position
            if count % _SLICE == 0:
                await asyncio.sleep(0)
        whole = view.at_start and view.attached
        if bar.display:
            bar.show_matches(position, total, whole=whole)
        else:
            self.host.say(f"match {position:,} of {total:,}{'' if whole else ' in what is loaded'}")

    def _place(self, finder: Finder, direction: int) -> object:
        view = self.session.view
        at = 0 if view.following else self.table.cursor.at
        return finder, direction, view.beginning, view.low, at


def _has(finder: Finder, item: Item) -> bool:
    return isinstance(item, Row) and finder.matches(line_text(item))
