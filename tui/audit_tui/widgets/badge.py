"""The integrity badge: a mark and words, as wide as they are."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Static

from audit_tui.model.badge import Badge, State
from audit_tui.text import fit
from audit_tui.widgets.legible import legible

__all__ = ["MARKS", "BadgeWidget"]

MARKS = {
    State.VERIFIED: "✓",
    State.VERIFYING: "…",
    State.BROKEN: "✗",
    State.REWRITTEN: "✗",
    State.UNVERIFIED: "?",
    State.PART: "~",
    State.STALE: "!",
    State.OFFLINE: "-",
}
"""One cell each. So that they are told from the others without colour, a red that nobody has acknowledged is `✗!`, and
`✗!!` where the daemon and the console contradict each other."""

_CLASSES = {
    State.VERIFIED: "-good",
    State.VERIFYING: "-unsure",
    State.BROKEN: "-red",
    State.REWRITTEN: "-red",
    State.UNVERIFIED: "-unsure",
    State.PART: "-unsure",
    State.STALE: "-unsure",
    State.OFFLINE: "-unsure",
}


class BadgeWidget(Static):
    """Shows a `Badge`; a click on it posts `Opened`."""

    DEFAULT_CSS = """
    BadgeWidget { width: auto; height: 1; text-wrap: nowrap; }
    BadgeWidget.-good { color: $text-success; background: $success-muted; }
    BadgeWidget.-unsure { background: $warning-muted; color: $text-warning; }
    BadgeWidget.-red { background: $error-muted; color: $text-error; text-style: bold; }
    BadgeWidget.-red.-alarm { background: $error; color: $text; text-style: bold reverse; }
    BadgeWidget.-good:ansi { color: ansi_black; background: ansi_green; }
    BadgeWidget.-unsure:ansi { color: ansi_black; background: ansi_yellow; }
    BadgeWidget.-red:ansi { color: ansi_bright_white; background: ansi_red; }
    """
    """In the themes that leave colours to the terminal a muted colour is the colour itself, so both are named there."""

    class Opened(Message):
        """Somebody wants to see what is behind the badge."""

    def __init__(self, badge: Badge | None = None, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(markup=False, id=id)
        self._badge: Badge | None = None
        self._text = self._whole = ""
        self._room = 1_000
        if badge is not None:
            self.show(badge)

    def show(self, badge: Badge) -> bool:
        """Show this from now on; False when nothing of it changes what is on the screen."""
        if badge == self._badge:
            return False
        self._badge = badge
        loudness = ("!!" if badge.disagreement else "!") if badge.is_alarm else ""
        text = f"{MARKS[badge.state]}{loudness} {badge.text}"
        self._whole = text
        self._draw()
        self.set_classes(f"{_CLASSES[badge.state]}{' -alarm' if badge.is_alarm else ''}")
        self.tooltip = Content(badge.detail)
        return True

    def fit(self, cells: int) -> None:
        """Take no more than so many cells: `b` has all of it."""
        self._room = cells
        self._draw()

    def _draw(self) -> None:
        text = self._whole
        if cell_len(text) + 2 > self._room:
            text = fit(text, max(0, self._room - 2))
            text = text if cell_len(self._whole.split(" · ")[0]) + 2 > self._room else self._whole.split(" · ")[0]
        if text != self._text:  # at full speed the count alone changes ten times a second: no new layout for that
            # Its own spaces, since padding is not reversed with the text of an alarm.
            self.update(Content(f" {text} "), layout=cell_len(text) != cell_len(self._text))
            self._text = text

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        return Strip([legible(segment) for segment in strip], strip.cell_length)

    @property
    def cells(self) -> int:
        """How wide it is."""
        return cell_len(self._text) + 2

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Opened())
