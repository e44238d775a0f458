"""The list of completions, over what lies below the input."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import OptionList

from audit_stream.display import safe
from audit_tui.model.completion import Completions

__all__ = ["CompletionList"]


class CompletionList(OptionList, can_focus=False):
    """Posts OptionSelected for a click; it never takes the focus, since the cursor stays in the input."""

    DEFAULT_CSS = """
    CompletionList {
        overlay: screen; constrain: inside inside; display: none;
        width: auto; max-width: 60; height: auto; max-height: 8; border: none; padding: 0 1; background: $primary-muted;
    }
    """

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True)
        self.completions = Completions(start=0, end=0)

    @property
    def is_open(self) -> bool:
        """Whether it is shown."""
        return bool(self.display)

    def open(self, completions: Completions, *, x: int) -> None:
        """Show these, if any, `x` cells from the left; none is highlighted until somebody goes down into the list."""
        self.completions = completions
        self.clear_options()
        self.add_options([Content(safe(option)) for option in completions.options])
        self.highlighted = None
        self.styles.offset = (max(0, x - 1), 0)  # its text, which has a cell of padding, under what is completed
        self.display = bool(completions.options)

    def close(self) -> None:
        """Show it no more."""
        self.display = False
