"""How far a search through the history has come, in words."""

from __future__ import annotations

import msgspec

from audit_stream.display import safe
from audit_tui.model.cursor import Cursor
from audit_tui.model.view import View

__all__ = ["Searching", "searching"]


class Searching(msgspec.Struct, frozen=True, kw_only=True):
    """A search that has come to event `at`. `waits_for` is why it waits, empty when it does not."""

    at: int
    newer: bool = False
    halted: bool = False
    waits_for: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        place = f"{'on' if self.newer else 'back'} to #{self.at:,}"
        if self.halted:
            return f"stopped · {place} · {'Down' if self.newer else 'Up'} goes on"
        waits = f" · waiting: {safe(self.waits_for)}" if self.waits_for else ""
        return f"searching · {place} · Esc stops{waits}"

    @property
    def short(self) -> str:
        """Whether it goes on, and the place."""
        return f"{'stopped' if self.halted else '…'} #{self.at:,}"


def searching(view: View, cursor: Cursor, *, searched_to: int, waits_for: str) -> Searching | None:
    """The search that fills a filtered window, or that could be gone on with; None when the window needs none.

    `searched_to` is how far one for a place to show has come, 0 when there is none.
    """
    if not view.filtered:
        return None
    if searched_to:
        return Searching(at=searched_to, newer=True, waits_for=waits_for)
    if not view.at_start and (view.halted or cursor.wants_older):
        return Searching(at=view.low, halted=view.halted, waits_for=waits_for)
    if not view.attached and (view.halted or cursor.wants_newer):
        return Searching(at=view.high, newer=True, halted=view.halted, waits_for=waits_for)
    return None
