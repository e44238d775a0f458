"""Find within what is shown, while one types."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from audit_tui.widgets.typed_text import TypedText

__all__ = ["FindBar"]


class FindBar(Horizontal):
    """One line below the table while somebody types into it."""

    class Changed(Message):
        """What is looked for, so far."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Done(Message):
        """That is it: back to the table, where n and N go on."""

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

    def compose(self) -> ComposeResult:
        """A label, the input and the count."""
        yield Static("find", markup=False)
        yield Input(compact=True, placeholder="text in the id, kind, source or payload", highlighter=TypedText())
        yield Static(id="matches", markup=False)

    def open(self) -> None:
        """Show it, empty, and put the cursor into it."""
        self.display = True
        self.query_one(Input).value = ""
        self.query_one("#matches", Static).update("")
        self.screen.set_focus(self.query_one(Input))  # at once: keys that were typed ahead belong here

    def show_matches(self, position: int, total: int) -> None:
        """Say that the cursor is on match `position` of `total`, counted from 1; 0 for on none of them."""
        counted = f"{position:,} of {total:,}" if position else f"{total:,} found"
        self.query_one("#matches", Static).update(counted if total else "not found")

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        message.stop()
        if self.display:
            if not message.value:
                self.query_one("#matches", Static).update("")
            self.post_message(self.Changed(message.value))

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self.display = False
        self.post_message(self.Done(message.value))

    def on_key(self, event: events.Key) -> None:
        """Escape ends it."""
        if event.key == "escape":
            event.stop()
            self.display = False
            self.post_message(self.Cancelled())
