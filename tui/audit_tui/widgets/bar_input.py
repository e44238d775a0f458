"""The input of a bar: keys mean what they meant when they were typed, however fast."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.widgets import Input

from audit_tui.widgets.typed_text import TypedText

__all__ = ["BarInput"]


class BarInput(Input):
    """Gives every key to `handle` before it takes it itself; `handle` says whether the key meant something to it.

    Textual gives a key to the input and only later to what is around it, when further keys may stand in the input
    already. A key that arrives here after the editing has ended belongs to whatever has the focus now, and goes there.

    `typed_text` shows what stands in it. While it has the focus the screen has the class `-typing`, by which notices
    keep away from the bars.
    """

    def __init__(self, handle: Callable[[str], bool], *, placeholder: str) -> None:
        typed_text = TypedText()
        super().__init__(
            compact=True,
            placeholder=placeholder,
            highlighter=typed_text,
            select_on_focus=False,  # one types on at the end of what is there
        )
        self.typed_text = typed_text
        self._handle = handle

    def on_focus(self) -> None:
        self.screen.add_class("-typing")

    def on_blur(self) -> None:
        self.screen.remove_class("-typing")

    def on_key(self, event: events.Key) -> None:
        """Before Textual's own handler, which `prevent_default` keeps from having it too."""
        if self.screen.focused is not self:
            self.app.post_message(events.Key(event.key, event.character))
        elif not self._handle(event.key):
            return
        event.stop()
        event.prevent_default()
