"""How an input shows what stands in it: nothing that moves the cursor or hides, and the mistake underlined."""

from __future__ import annotations

from rich.highlighter import Highlighter
from rich.text import Text

__all__ = ["TypedText"]


class TypedText(Highlighter):
    """For an `Input`'s `highlighter`. `wrong` is the stretch of a mistake, as its start and end in characters.

    A character that is not printable shows as one `�`: an input finds its cursor by counting characters, so the
    longer escapes of `display.safe` would shift it.
    """

    def __init__(self) -> None:
        self.wrong: tuple[int, int] | None = None

    def __call__(self, text: str | Text) -> Text:
        """The text as it is shown, of the same length."""
        plain = text if isinstance(text, str) else text.plain
        if not plain.isprintable():
            plain = "".join(char if char.isprintable() else "�" for char in plain)
        shown = Text(plain, no_wrap=True, overflow="ignore", end="")
        self.highlight(shown)
        return shown

    def highlight(self, text: Text) -> None:
        """Underline the mistake; one that is missing text at the very end has nothing to underline."""
        if self.wrong is not None:
            start, end = self.wrong
            text.stylize("underline", start, max(end, start + 1))
