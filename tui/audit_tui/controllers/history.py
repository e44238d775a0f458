"""Moving through the history: memory, pages, gaps, places, the live end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual.worker import Worker

from audit_stream.errors import ClientError
from audit_stream.timestamps import format_rfc3339_ms
from audit_tui.controllers.host import Host
from audit_tui.model.rows import Gap
from audit_tui.session import Session
from audit_tui.widgets.event_table import EventTable

__all__ = ["HistoryController"]

_SHOW_S = 0.1
"""How often it is shown how far memory was looked through; each time takes as long as a slice of it."""


@dataclass(eq=False)
class HistoryController:
    """Where in the log one is."""

    session: Session
    table: EventTable
    host: Host
    _looking: int = 0  # through memory, so many at the moment
    _older_wanted: bool = False  # meanwhile: that comes after it
    _older: Worker[None] | None = None
    _newer: Worker[None] | None = None

    def pause(self) -> None:
        """Stop following, or go back to the live end."""
        if self.session.view.following:
            self.session.view.pause()
            self.host.show_change()
        else:
            self.to_live()

    def to_start(self) -> None:
        """Go to the first event of the log."""

        async def show() -> None:
            await self.session.pages.show_around(1)
            self.table.changed()
            self.table.go_to(1)
            self.host.show_change()

        self.host.read(show, group="place")

    def to_live(self) -> None:
        """Go to the live end, from memory if the window is elsewhere, and follow."""
        view = self.session.view
        if view.attached:
            view.resume()
            self.table.changed()
            self.host.show_change()
        else:
            view.begin(self.session.ring)
            self.host.read(self.look_through_memory, group="place")

    async def look_through_memory(self, *, first_pause_s: float = 0) -> None:
        """Fill the window from memory, the newest first, a slice at a time, so that keys are answered meanwhile.

        `first_pause_s` is for the first rows to be painted.
        """
        view, now_s = self.session.view, self.session.clock.now_s
        rows, shown_s = 0, float("-inf")
        self._looking += 1
        try:
            while view.look_back(self.session.ring) and not view.is_full:
                before, rows = rows, view.row_count
                if rows != before:  # drawing takes longer than looking through a slice
                    self.table.changed()
                if now_s() >= shown_s + _SHOW_S:
                    self.host.show_change()  # the status tells of the filter as soon as the first rows do
                    shown_s = now_s()
                await asyncio.sleep(first_pause_s if rows and not before else 0)
        finally:
            self._looking -= 1
        if self._older_wanted and not self._looking:
            self._older_wanted = False
            self.table.post_message(EventTable.OlderWanted())
        self.table.changed()
        self.host.show_change()

    # Whether more is wanted is asked again: since the message was sent somebody may have stopped what is searched.

    def load_older(self) -> None:
        """Load a part before the window if it is wanted, once memory has been looked through."""
        if self._looking:
            self._older_wanted = True
        elif self.table.cursor.wants_older and (self._older is None or self._older.is_finished):
            self._older = self.host.read(lambda: self._load(self.session.pages.load_older), group="older")

    def load_newer(self) -> None:
        """Load a part after a detached window if it is wanted."""
        if self.table.cursor.wants_newer and (self._newer is None or self._newer.is_finished):
            self._newer = self.host.read(lambda: self._load(self.session.pages.load_newer), group="newer")

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
            self.host.show_change()

    def stop_searching(self) -> None:
        """End what looks through the history; moving on against the end of the table goes on with it."""
        self.session.view.halted = True
        self.host.cancel("older", "newer", "place", "find")
        self.host.show_change()

    def open_gap(self, gap: Gap) -> None:
        """Load the events of a gap."""

        async def load() -> None:
            await self.session.pages.load_gap(gap)
            self.table.changed()

        self.host.read(load, group="gap")

    def go_to(self) -> None:
        """Ask for an id or a time, and go there."""
        from audit_tui.screens.go_to import GoTo, GoToScreen

        def go(place: GoTo | None) -> None:
            if place is None:
                return
            if place.is_end:
                self.to_live()
            elif place.event_id is not None:
                self.go_to_event(place.event_id)
            elif place.at_ms is not None:
                self._go_to_time(place.at_ms)

        utc = self.table.time_format in ("utc", "full")
        self.host.open(GoToScreen(self.session.clock.now_ms(), utc=utc), go)

    def go_to_event(self, event_id: int) -> None:
        """Put the cursor on an event, from memory or from the daemon."""
        if self._is_in_window(event_id):
            self.table.go_to(event_id)
            self.host.show_change()
            return

        async def show() -> None:
            if not await self._show_around(event_id):
                passing = " that passes the filter" if self.session.view.filtered else ""
                self.host.say(f"there is no event #{event_id:,}, nor one after it{passing}: this is the end")

        self.host.read(show, group="place")

    async def _show_around(self, event_id: int) -> bool:
        """Put the cursor on an event, or the next that passes, read if need be; False when none does."""
        if not self._is_in_window(event_id):
            await self.session.pages.show_around(event_id)
            self.table.changed()
        self.table.go_to(event_id)
        self.host.show_change()
        newest = self.session.view.newest
        return newest is not None and newest.event_id >= event_id

    def _is_in_window(self, event_id: int) -> bool:
        oldest, newest = self.session.view.oldest, self.session.view.newest
        return oldest is not None and newest is not None and oldest.event_id <= event_id <= newest.event_id

    def _go_to_time(self, at_ms: int) -> None:
        async def show() -> None:
            event_id = await self.session.pages.id_at(format_rfc3339_ms(at_ms))
            if event_id is None or not await self._show_around(event_id):
                self.host.say("no event is as late as that: this is the live end")
                self.to_live()

        self.host.read(show, group="place")
