"""Writing a note on an event."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static, TextArea

from audit_stream.display import safe
from audit_tui.screens.closing import Dialog
from audit_tui.storage.marks import MAX_NOTE, Mark

__all__ = ["NoteScreen"]

_HINT = "Ctrl+S or F2 saves · Escape leaves it as it was"


class NoteScreen(Dialog[str | None]):
    """A note to write or change; the result is its text, perhaps empty, or None when nothing is to change."""

    DEFAULT_CSS = """
    NoteScreen > Vertical { width: 76; height: 14; }
    NoteScreen Static { height: 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    NoteScreen TextArea { height: 1fr; padding: 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the text area has them, where Enter is a new line. Terminals take ctrl+s away only in old settings.
        Binding("ctrl+s,f2", "save", "Save", id="note-save", priority=True),
        Binding("escape", "dismiss", "Leave as it was", priority=True),
    ]

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self._mark = mark

    def compose(self) -> ComposeResult:
        mark = self._mark
        with Vertical() as box:
            box.border_title = "Note"
            yield Static(f"#{mark.event_id} {safe(mark.kind)}, {safe(mark.source)}", markup=False)
            yield TextArea(_shown(mark.note), compact=True)
            yield Static(_HINT, id="said", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)
        area.focus()

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        """Say when it gets too long, and no more when it is not."""
        over = len(message.text_area.text.strip()) - MAX_NOTE
        too_long = f"✗ {over:,} character{'' if over == 1 else 's'} too long"
        self.query_one("#said", Static).update(too_long if over > 0 else _HINT)

    def action_save(self) -> None:
        text = _shown(self.query_one(TextArea).text).strip()
        if len(text) <= MAX_NOTE:
            self.dismiss(text)


def _shown(text: str) -> str:
    """The text with all but its line ends escaped: what is pasted may hold anything."""
    return "\n".join(safe(line) for line in text.replace("\t", "    ").splitlines())
