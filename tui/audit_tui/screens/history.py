"""The main screen's moving through the history: pages, gaps, places, the live end, find."""

from __future__ import annotations

import asyncio

from textual import on
from textual.binding import Binding

from audit_stream.timestamps import format_rfc3339_ms
from audit_tui.model.columns import line_text
from audit_tui.model.find import Finder
from audit_tui.model.rows import Gap, Row
from audit_tui.screens.base import MainPart
from audit_tui.widgets.event_table import EventTable
from audit_tui.widgets.find_bar import FindBar

__all__ = ["HistoryKeys"]

_FIND_SLICE = 500


class HistoryKeys(MainPart):
    """Where in the log one is."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("space", "pause", "Pause", id="pause"),
        Binding("g", "go_to", "Go to", id="go-to"),
        Binding("f", "find", "Find", id="find", priority=True),  # as "filter"
        Binding("n", "find_next(1)", "Next match", id="find-next", show=False),
        Binding("N", "find_next(-1)", "Previous match", id="find-previous", show=False),
    ]

    _loading_older = False
    _loading_newer = False

    def action_pause(self) -> None:
        """Stop following, or go back to the live end."""
        if self.session.view.following:
            self.session.view.pause()
            self.show_change()
        else:
            self._to_live()

    @on(EventTable.LiveWanted)
    def _event_table_live_wanted(self) -> None:
        self._to_live()

    @on(EventTable.StartWanted)
    def _event_table_start_wanted(self) -> None:
        async def to_start() -> None:
            await self.session.pages.show_around(1)
            self.table.changed()
            self.table.go_to(1)
            self.show_change()

        self.reading(to_start, group="place")

    def _to_live(self) -> None:
        view = self.session.view
        if view.attached:
            view.resume()
            self.table.changed()
            self.show_change()
        else:
            self.fill_view()

    def fill_view(self) -> None:
        """Fill the window from memory, a slice at a time; the newest are there at once."""

        async def fill() -> None:
            for _ in self.session.view.refill(self.session.ring):
                self.table.changed()
                self.show_change()
                await asyncio.sleep(0)
            self.table.changed()
            self.show_change()

        self.run_worker(fill(), group="place", exclusive=True)

    @on(EventTable.OlderWanted)
    def _event_table_older_wanted(self) -> None:
        async def load() -> None:
            try:
                await self.session.pages.load_older()
            finally:
                self._loading_older = False
            self.table.changed()

        if not self._loading_older:
            self._loading_older = True
            self.reading(load, group="older")

    @on(EventTable.NewerWanted)
    def _event_table_newer_wanted(self) -> None:
        async def load() -> None:
            try:
                await self.session.pages.load_newer()
            finally:
                self._loading_newer = False
            self.table.changed()
            self.show_change()

        if not self._loading_newer:
            self._loading_newer = True
            self.reading(load, group="newer")

    @on(EventTable.GapOpened)
    def _event_table_gap_opened(self, message: EventTable.GapOpened) -> None:
        gap: Gap = message.gap

        async def load() -> None:
            await self.session.pages.load_gap(gap)
            self.table.changed()

        self.reading(load, group="gap")

    def action_go_to(self) -> None:
        """Ask for an id or a time, and go there."""
        from audit_tui.screens.go_to import GoTo, GoToScreen

        def go(place: GoTo | None) -> None:
            if place is None:
                return
            if place.is_end:
                self._to_live()
            elif place.event_id is not None:
                self.go_to_event(place.event_id)
            elif place.at_ms is not None:
                self._go_to_time(place.at_ms)

        self.app.push_screen(GoToScreen(self.session.clock.now_ms(), utc=self.table.time_format in ("utc", "full")), go)

    def go_to_event(self, event_id: int) -> None:
        """Put the cursor on an event, from memory or from the daemon."""
        view = self.session.view
        oldest, newest = view.oldest, view.newest
        if oldest is not None and newest is not None and oldest.event_id <= event_id <= newest.event_id:
            self.table.go_to(event_id)
            self.show_change()
            return

        async def show() -> None:
            await self.session.pages.show_around(event_id)
            self.table.changed()
            self.table.go_to(event_id)
            self.show_change()
            newest = self.session.view.newest
            if newest is None or newest.event_id < event_id:
                passing = " that passes the filter" if self.session.view.filtered else ""
                self.say(f"there is no event #{event_id:,}, nor one after it{passing}: this is the end")

        self.reading(show, group="place")

    def _go_to_time(self, at_ms: int) -> None:
        async def show() -> None:
            event_id = await self.session.pages.id_at(format_rfc3339_ms(at_ms))
            if event_id is None:
                self.say("no event is as late as that: this is the live end")
                self._to_live()
            else:
                self.call_later(self.go_to_event, event_id)

        self.reading(show, group="place")

    # Find

    def action_find(self) -> None:
        """Find within what is shown, while typing."""
        self.query_one(FindBar).open(self.table)

    @on(FindBar.Changed)
    def _find_bar_changed(self, message: FindBar.Changed) -> None:
        self.table.finder = Finder(message.text) if message.text else None
        self.table.redraw()
        if message.text:
            self.run_worker(self._find(-1, inclusive=True), group="find", exclusive=True)

    @on(FindBar.Cancelled)
    def _find_bar_cancelled(self) -> None:
        self.table.finder = None
        self.table.redraw()

    def action_find_next(self, direction: int) -> None:
        """To the next event that has what is looked for."""
        if self.table.finder is None:
            self.action_find()
        else:
            self.app.clear_notifications()
            self.run_worker(self._find(direction, inclusive=False), group="find", exclusive=True)

    async def _find(self, direction: int, *, inclusive: bool) -> None:
        """The next match from the cursor on, in slices: keys are answered meanwhile."""
        finder, view = self.table.finder, self.session.view
        if finder is None:
            return
        items = list(view.items)
        start = self.table.cursor.place + (0 if inclusive else direction)
        end = len(items) if direction > 0 else -1
        for count, place in enumerate(range(start, end, direction), 1):
            item = items[place] if 0 <= place < len(items) else None
            if isinstance(item, Row) and finder.matches(line_text(item)):
                self.table.go_to(item.event_id)
                self.show_change()
                await self._count_matches(finder)
                return
            if count % _FIND_SLICE == 0:
                await asyncio.sleep(0)
        if inclusive:
            await self._count_matches(finder)
        else:
            self.say(f"no match further {'down: N goes up' if direction > 0 else 'up: n goes down'}")

    async def _count_matches(self, finder: Finder) -> None:
        """Tell which of how many matches the cursor is on: in the bar, or once it is left in a notice."""
        bar, cursor_row = self.query_one(FindBar), self.table.cursor_row
        position = total = 0
        for count, item in enumerate(list(self.session.view.items), 1):
            if self.table.finder is not finder:
                return
            if isinstance(item, Row) and finder.matches(line_text(item)):
                total += 1
                position = total if item is cursor_row else position
            if count % _FIND_SLICE == 0:
                await asyncio.sleep(0)
        if bar.display:
            bar.show_matches(position, total)
        else:
            self.say(f"match {position:,} of {total:,}")
