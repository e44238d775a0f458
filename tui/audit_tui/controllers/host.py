"""What the controllers of the main screen may do on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widget import AwaitMount
from textual.worker import Worker

from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_tui.screens.copying import copy

__all__ = ["Host"]

P = ParamSpec("P")
Result = TypeVar("Result")


class Host:
    """The screen, as far as its controllers know it. `show_change` draws the status, the badge and the panel."""

    def __init__(self, screen: Screen[None], show_change: Callable[[], None]) -> None:
        self._screen = screen
        self.show_change = show_change

    def say(self, text: str, *, severity: SeverityLevel = "information") -> None:
        """A short notice; whatever it repeats from outside is escaped."""
        self._screen.notify(safe(text), severity=severity, markup=False, timeout=6)

    def unsay(self) -> None:
        """Take away the notices that there are."""
        self._screen.app.clear_notifications()

    def read(self, work: Callable[[], Awaitable[object]], *, group: str) -> Worker[None]:
        """Ask the daemon for something beside everything else; an error is a notice. One at a time in a group."""

        async def run() -> None:
            try:
                await work()
            except ClientError as error:
                self.say(str(error), severity="error")

        return self._screen.run_worker(run, group=group, exclusive=True, exit_on_error=True)

    def cancel(self, *groups: str) -> None:
        """End what is read in these groups."""
        for group in groups:
            self._screen.workers.cancel_group(self._screen, group)

    def open(self, screen: Screen[Result], then: Callable[[Result | None], None] | None = None) -> AwaitMount:
        """Show another screen over this one; `then` gets its result."""
        return self._screen.app.push_screen(screen, then)

    def later(self, do: Callable[P, None]) -> Callable[P, None]:
        """For other screens to call: it is done as a message of this screen.

        Textual gives the result of a screen that is opened to whoever is active at that moment; another screen may
        be closed by then, and the result would be lost.
        """

        def posted(*args: P.args, **kwargs: P.kwargs) -> None:
            self._screen.call_later(do, *args, **kwargs)

        return posted

    def copy(self, text: str, what: str) -> None:
        """To the clipboard of the terminal (OSC 52), which may refuse what is large."""
        self.say(f"copied {what}{copy(self._screen.app, text)}")
