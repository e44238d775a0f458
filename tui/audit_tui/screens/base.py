"""What the parts of the main screen share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from textual.screen import Screen
from textual.worker import Worker

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_tui.session import Session
from audit_tui.widgets.event_table import EventTable

if TYPE_CHECKING:
    from audit_tui.app import ConsoleApp

__all__ = ["MainPart"]

P = ParamSpec("P")

_SHOW_S = 0.1
"""How often it is shown how far memory was looked through; each time takes as long as a slice of it."""


class MainPart(Screen[None]):
    """A part of the main screen; all of them are one object."""

    session: Session
    table: EventTable
    looking = 0  # through memory, so many at the moment
    older_wanted = False  # meanwhile: that comes after it

    @property
    def console_app(self) -> ConsoleApp:
        """The app, with what it keeps beyond one daemon."""
        app: Any = self.app
        console: ConsoleApp = app
        return console

    def say(self, text: str, *, severity: Any = "information") -> None:
        """A short notice; whatever it repeats from outside is escaped."""
        self.notify(safe(text), severity=severity, markup=False, timeout=6)

    def reading(self, work: Callable[[], Awaitable[object]], *, group: str) -> Worker[None]:
        """Ask the daemon for something beside everything else; an error is a notice. One at a time in a group."""

        async def run() -> None:
            try:
                await work()
            except ClientError as error:
                self.say(str(error), severity="error")

        return self.run_worker(run, group=group, exclusive=True, exit_on_error=True)

    async def look_through_memory(self, *, first_pause_s: float = 0) -> None:
        """Fill the window from memory, the newest first, a slice at a time, so that keys are answered meanwhile.

        `first_pause_s` is for the first rows to be painted.
        """
        view, now_s = self.session.view, self.session.clock.now_s
        rows, shown_s = 0, float("-inf")
        self.looking += 1
        try:
            while view.look_back(self.session.ring) and not view.is_full:
                before, rows = rows, view.row_count
                if rows != before:  # drawing takes longer than looking through a slice
                    self.table.changed()
                if now_s() >= shown_s + _SHOW_S:
                    self.show_change()  # the status tells of the filter as soon as the first rows do
                    shown_s = now_s()
                await asyncio.sleep(first_pause_s if rows and not before else 0)
        finally:
            self.looking -= 1
        if self.older_wanted and not self.looking:
            self.older_wanted = False
            self.table.post_message(EventTable.OlderWanted())
        self.table.changed()
        self.show_change()

    def later(self, do: Callable[P, None]) -> Callable[P, None]:
        """What does it as a message of this screen: whatever it opens answers to this one, not to one that closes."""

        def posted(*args: P.args, **kwargs: P.kwargs) -> None:
            self.call_later(do, *args, **kwargs)

        return posted

    def add_term(self, term: str) -> None:
        """Filter by one term more."""
        raise NotImplementedError

    def show_change(self) -> None:
        """Draw what has changed."""
        raise NotImplementedError

    def show_activity(self) -> None:
        """Draw the kinds and sources, if they are open."""
        raise NotImplementedError

    def apply_filter(self, text: str) -> None:
        """Show what passes the filter, here and in the history."""
        raise NotImplementedError
