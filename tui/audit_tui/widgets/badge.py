"""The integrity badge: a mark and words, as wide as they are."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from audit_tui.model.badge import Badge, State

__all__ = ["MARKS", "BadgeWidget"]

MARKS = {
    State.VERIFIED: "✓",
    State.VERIFYING: "…",
    State.BROKEN: "✗",
    State.REWRITTEN: "✗",
    State.UNVERIFIED: "?",
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
    """

    class Opened(Message):
        """Somebody wants to see what is behind the badge."""

    def __init__(self, badge: Badge | None = None, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(markup=False, id=id)
        self._badge: Badge | None = None
        self._text = ""
        if badge is not None:
            self.show(badge)

    def show(self, badge: Badge) -> bool:
        """Show this from now on; False when nothing of it changes what is on the screen."""
        if badge == self._badge:
            return False
        self._badge = badge
        loudness = ("!!" if badge.disagreement else "!") if badge.is_alarm else ""
        text = f"{MARKS[badge.state]}{loudness} {badge.text}"
        if text != self._text:  # at full speed the count alone changes ten times a second: no new layout for that
            # Its own spaces, since padding is not reversed with the text of an alarm.
            self.update(Content(f" {text} "), layout=cell_len(text) != cell_len(self._text))
            self._text = text
        self.set_classes(f"{_CLASSES[badge.state]}{' -alarm' if badge.is_alarm else ''}")
        self.tooltip = Content(badge.detail)
        return True

    @property
    def cells(self) -> int:
        """How wide it is."""
        return cell_len(self._text) + 2

    def on_click(self, event: events.Click) -> None:
        """Ask for the integrity screen."""
        event.stop()
        self.post_message(self.Opened())
