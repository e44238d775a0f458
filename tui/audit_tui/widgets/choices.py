"""A list to choose from, safe to be paged through before it is drawn."""

from __future__ import annotations

from contextlib import suppress

from textual.widgets import OptionList

__all__ = ["Choices"]


class Choices(OptionList):
    """Textual's own, in which a paging key fails that comes before the list has its lines (seen with 8.2.8)."""

    def action_page_up(self) -> None:
        with suppress(KeyError):
            super().action_page_up()  # type: ignore[no-untyped-call]

    def action_page_down(self) -> None:
        with suppress(KeyError):
            super().action_page_down()  # type: ignore[no-untyped-call]
