"""Asking where to go."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from audit_stream.event import system_clock_ms
from audit_tui.model.detail import local_time, utc_time
from audit_tui.model.places import GoTo, PlaceError, parse_place
from audit_tui.screens.closing import Dialog
from audit_tui.widgets.said import Said

__all__ = ["GoTo", "GoToScreen"]

_HINT = "an id (42), a time (12:01, yesterday 12:00, 2026-05-15T12:01, -15m), start, end"


class GoToScreen(Dialog[GoTo | None]):
    """One line to type a place in; the result is None when nothing was wanted.

    `now_ms` (Unix milliseconds; by default the clock when the screen is made) is what times count back from; those
    without an offset are local, or UTC.
    """

    DEFAULT_CSS = "GoToScreen > Vertical { width: 64; }"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, now_ms: int | None = None, *, utc: bool = False) -> None:
        super().__init__()
        self._now_ms = system_clock_ms() if now_ms is None else now_ms
        self._utc = utc

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Go to"
            yield Input(placeholder="id or time", compact=True)
            yield Said(_HINT)

    def on_input_changed(self, message: Input.Changed) -> None:
        """Say where it would lead, or what is wrong, while it is typed."""
        if not message.value.strip():
            self.say(_HINT)
            return
        try:
            self.say(f"→ {self._words(self._place(message.value))}")
        except PlaceError as error:
            self.say(f"✗ {error}", is_error=True)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        try:
            place = self._place(message.value)
        except PlaceError as error:
            self.say(f"✗ {error}", is_error=True)
        else:
            self.dismiss(place)

    def _place(self, text: str) -> GoTo:
        return parse_place(text, now_ms=self._now_ms, utc=self._utc)

    def _words(self, place: GoTo) -> str:
        if place.event_id is not None:
            return f"event #{place.event_id:,}"
        if place.at_ms is not None:
            return utc_time(place.at_ms) if self._utc else local_time(place.at_ms)
        return "the live end"
