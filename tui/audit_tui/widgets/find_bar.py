"""Find within what is shown, while one types."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from audit_tui.widgets.bar_input import BarInput

__all__ = ["FindBar"]


class FindBar(Horizontal):
    """One line below the table while somebody types into it."""

    class Changed(Message):
        """What is looked for, so far."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Cancelled(Message):
        """Nothing is looked for any more."""

    DEFAULT_CSS = """
    FindBar {
        height: 1; display: none; background: $panel;
        & Static { width: auto; padding: 0 1; }
        & Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & #matches { color: $text-muted; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._back_to: Widget | None = None
        self._told = ""
        self._input = BarInput(self._key, placeholder="text in the id, kind, source or payload")

    def compose(self) -> ComposeResult:
        yield Static("find", markup=False)
        yield self._input
        yield Static(id="matches", markup=False)

    def open(self, back_to: Widget) -> None:
        """Show it, empty, and put the cursor into it; when one has found it, that goes to `back_to`."""
        self._back_to = back_to
        self.display = True
        self._input.value = self._told = ""
        self.query_one("#matches", Static).update("")
        self.screen.set_focus(self._input)  # at once: keys that were typed ahead belong here

    def show_matches(self, position: int, total: int, *, whole: bool) -> None:
        """Say that the cursor is on match `position` of `total`, counted from 1; 0 for on none of them.

        `whole`: all that there is was looked through, and not only what is loaded.
        """
        counted = f"{position:,} of {total:,}" if position else f"{total:,} found"
        told = counted if total else "not found"
        self.query_one("#matches", Static).update(told if whole else f"{told} in what is loaded")

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        message.stop()
        if self.display:
            self._tell()

    def _tell(self) -> None:
        """Say what is looked for, unless that has been said already."""
        text = self._input.value
        if text == self._told:
            return
        self._told = text
        if not text:
            self.query_one("#matches", Static).update("")
        self.post_message(self.Changed(text))

    def _key(self, key: str) -> bool:
        """Enter leaves what is looked for, where n and N go on; Escape ends it."""
        if key not in ("enter", "escape"):
            return False
        self.screen.set_focus(self._back_to)  # at once: what is typed from here on is meant for it
        self.display = False
        if key == "escape":
            self.post_message(self.Cancelled())
        else:
            self._tell()
        return True
