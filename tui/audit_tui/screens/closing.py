"""What dialogs have in common, and screens that may be closed twice in one burst of keys, or before they are there."""

from __future__ import annotations

from typing import ClassVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen, ScreenResultType

from audit_tui.widgets.said import Said

__all__ = ["ClosesOnce", "Dialog"]


class ClosesOnce(Screen[ScreenResultType]):
    """What a key closes may be closed already, by a key right before whose message took longer: that is no error.

    Nor is a key that was on its way to the screen below: what is not yet there is closed once it is.

    A second base after `ModalScreen`, whose style is inherited from the first.
    """

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """End with a result, unless this is no longer the screen that one is on."""
        if not self.is_current:
            return AwaitComplete()
        if not self.is_mounted:
            self.call_later(self._dismiss_mounted, result)
            return AwaitComplete()
        return super().dismiss(result)

    def _dismiss_mounted(self, result: ScreenResultType | None) -> None:
        self.dismiss(result)  # not awaited: a screen cannot wait for its own end


class Dialog(ModalScreen[ScreenResultType], ClosesOnce[ScreenResultType]):
    """A framed box over another screen, where the app's own bindings are not heard: `?` has its keys there too.

    The box is the one container that it is composed of; `say` is for those with a line below what one types.
    """

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical, Dialog > VerticalScroll {
        width: 72; max-width: 100%; height: auto; max-height: 100%; padding: 0 1;
        background: $panel; border: round $primary;
    }
    Dialog OptionList { height: auto; max-height: 12; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Help", id="help", key_display="?", show=False)
    ]

    def say(self, text: str, *, is_error: bool = False) -> None:
        """A hint, what was done, or what is wrong; safe to show."""
        self.query_one(Said).say(text, is_error=is_error)
