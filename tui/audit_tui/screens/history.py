"""The main screen's moving through the history: pages, gaps, places, the live end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual import on
from textual.binding import Binding
from textual.worker import Worker

from audit_stream.errors import ClientError
from audit_stream.timestamps import format_rfc3339_ms
from audit_tui.model.rows import Gap
from audit_tui.screens.base import MainPart
from audit_tui.widgets.event_table import EventTable

__all__ = ["HistoryKeys"]


class HistoryKeys(MainPart):
    """Where in the log one is."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("space", "pause", "Pause", id="pause"),
        Binding("g", "go_to", "Go to", id="go-to"),
    ]

    _older: Worker[None] | None = None
    _newer: Worker[None] | None = None

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
        """Begin anew at the live end, from memory."""
        self.session.view.begin(self.session.ring)
        self.reading(self.look_through_memory, group="place")

    # Whether more is wanted is asked again: since the message was sent somebody may have stopped what is searched.

    @on(EventTable.OlderWanted)
    def _event_table_older_wanted(self) -> None:
        if self.looking:
            self.older_wanted = True
        elif self.table.cursor.wants_older and (self._older is None or self._older.is_finished):
            self._older = self.reading(lambda: self._load(self.session.pages.load_older), group="older")

    @on(EventTable.NewerWanted)
    def _event_table_newer_wanted(self) -> None:
        if self.table.cursor.wants_newer and (self._newer is None or self._newer.is_finished):
            self._newer = self.reading(lambda: self._load(self.session.pages.load_newer), group="newer")

    async def _load(self, load: Callable[[], Awaitable[None]]) -> None:
        """Load a part; what could not be loaded is not tried again before somebody moves on to it."""
        view = self.session.view
        beginning = view.beginning
        try:
            await load()
        except ClientError:
            view.halted = view.halted or view.beginning == beginning
            raise
        finally:
            self.table.changed()
            if view.beginning != beginning:  # meanwhile nothing was asked for the window that there is now
                self.table.ask_for_more()
            self.show_change()

    def stop_searching(self) -> None:
        """End what looks through the history; moving on against the end of the table goes on with it."""
        self.session.view.halted = True
        for group in ("older", "newer", "place", "find"):
            self.workers.cancel_group(self, group)
        self.show_change()

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
        if self._is_in_window(event_id):
            self.table.go_to(event_id)
            self.show_change()
            return

        async def show() -> None:
            if not await self._show_around(event_id):
                passing = " that passes the filter" if self.session.view.filtered else ""
                self.say(f"there is no event #{event_id:,}, nor one after it{passing}: this is the end")

        self.reading(show, group="place")

    async def _show_around(self, event_id: int) -> bool:
        """Put the cursor on an event, or the next that passes, read if need be; False when none does."""
        if not self._is_in_window(event_id):
            await self.session.pages.show_around(event_id)
            self.table.changed()
        self.table.go_to(event_id)
        self.show_change()
        newest = self.session.view.newest
        return newest is not None and newest.event_id >= event_id

    def _is_in_window(self, event_id: int) -> bool:
        oldest, newest = self.session.view.oldest, self.session.view.newest
        return oldest is not None and newest is not None and oldest.event_id <= event_id <= newest.event_id

    def _go_to_time(self, at_ms: int) -> None:
        async def show() -> None:
            event_id = await self.session.pages.id_at(format_rfc3339_ms(at_ms))
            if event_id is None or not await self._show_around(event_id):
                self.say("no event is as late as that: this is the live end")
                self._to_live()

        self.reading(show, group="place")
