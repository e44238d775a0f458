"""Screens that may be closed twice in one burst of keys."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import Screen, ScreenResultType

__all__ = ["ClosesOnce"]


class ClosesOnce(Screen[ScreenResultType]):
    """What a key closes may be closed already, by a key right before whose message took longer: that is no error.

    A second base after `ModalScreen`, whose style is inherited from the first.
    """

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """End with a result, unless this is no longer the screen that one is on."""
        return super().dismiss(result) if self.is_current else AwaitComplete()
