"""What the parts of the main screen share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from textual.screen import Screen
from textual.worker import Worker

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_tui.session import Session
from audit_tui.widgets.event_table import EventTable

if TYPE_CHECKING:
    from audit_tui.app import ConsoleApp

__all__ = ["MainPart"]


class MainPart(Screen[None]):
    """A part of the main screen; all of them are one object."""

    session: Session
    table: EventTable

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

    def show_change(self) -> None:
        """Draw what has changed."""
        raise NotImplementedError

    def show_activity(self) -> None:
        """Draw the kinds and sources, if they are open."""
        raise NotImplementedError

    def apply_filter(self, text: str) -> None:
        """Show what passes the filter, here and in the history."""
        raise NotImplementedError
