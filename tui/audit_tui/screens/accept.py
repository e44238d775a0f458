"""Whether a history that contradicts what this console remembers is to be taken for the true one: a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from audit_stream.chain import Head
from audit_tui.model.cut_report import accept_text
from audit_tui.model.cuts import Cuts
from audit_tui.model.integrity_report import Remembered
from audit_tui.screens.closing import Dialog
from audit_tui.widgets.said import Said

__all__ = ["AcceptScreen"]

_WORD = "accept"
_HINT = f"Type {_WORD} and press Enter. Escape leaves all as it is."


class AcceptScreen(Dialog[bool]):
    """True once the word was typed: a key alone, which may be meant for another screen, accepts nothing.

    `rewritten` and the others are those of `accept_text`.
    """

    DEFAULT_CSS = """
    AcceptScreen { align: center middle; }
    AcceptScreen > VerticalScroll {
        width: 100%; max-width: 100; height: auto; max-height: 95%; padding: 0 1;
        background: $panel; border: round $error;
    }
    AcceptScreen Static { height: auto; }
    AcceptScreen Input { margin-top: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Leave all as it is")]

    def __init__(self, rewritten: str, head: Head, heads: Sequence[Remembered], cuts: Cuts) -> None:
        super().__init__()
        self._text = accept_text(rewritten, head, heads, cuts)

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as box:
            box.border_title = "Accept the history that there is now?"
            yield Static(self._text, id="consequences", markup=False)
            yield Input(placeholder=_WORD, compact=True)
            yield Said(_HINT)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self) -> None:
        """What was said of another word does not hold for this one."""
        self.query_one(Said).say(_HINT)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        if message.value.strip().lower() == _WORD:
            self.dismiss(True)
        else:
            self.query_one(Said).say(f"✗ nothing is accepted. {_HINT}", is_error=True)
