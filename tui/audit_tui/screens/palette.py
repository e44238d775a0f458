"""The command palette, safe to be typed into before it is drawn."""

from __future__ import annotations

from contextlib import suppress

from textual.command import CommandPalette

from audit_tui.screens.closing import ClosesOnce

__all__ = ["Palette"]


class Palette(CommandPalette, ClosesOnce[None]):
    """Textual's own, in which a paging key fails that comes before the list has its lines (seen with 8.2.8)."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):
            super()._action_command_list(action)
