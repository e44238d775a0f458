"""Bytes as text, in as many lines as they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from audit_tui.text import fit

__all__ = ["BytesView"]


class BytesView(ScrollView, can_focus=True):
    """Shows titled texts below each other, broken at the edge and nowhere else. They are printable ASCII.

    Static would look for words to break at, which takes long for 64 KiB without a space.
    """

    BINDING_GROUP_TITLE = "Bytes"

    COMPONENT_CLASSES: ClassVar[set[str]] = {"bytes-view--title"}

    DEFAULT_CSS = """
    BytesView { background: $surface; color: $foreground; overflow-x: hidden; overflow-y: scroll; }
    BytesView > .bytes-view--title { color: $text-accent; text-style: bold; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as in Textual
        super().__init__(id=id)
        self._sections: list[tuple[str, str]] = []
        self._lines: list[tuple[str, bool]] = []

    @property
    def lines(self) -> list[str]:
        """The lines, before they are cut to the width."""
        return [text for text, _ in self._lines]

    def show(self, sections: Sequence[tuple[str, str]]) -> None:
        """Show these titles and texts, from the top."""
        self._sections = list(sections)
        self._break()
        self.scroll_to(y=0, animate=False, immediate=True)

    def on_resize(self, event: events.Resize) -> None:
        self._break()

    def _break(self) -> None:
        width = self.scrollable_content_region.width
        self._lines = []
        if width > 0:
            for title, text in self._sections:
                self._lines.append((title, True))
                self._lines += [(text[at : at + width], False) for at in range(0, len(text), width)]
                self._lines.append(("", False))
        self.virtual_size = Size(1, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line on screen, `y` cells below the upper edge."""
        width = self.scrollable_content_region.width
        line = y + self.scroll_offset.y
        if line >= len(self._lines) or width <= 0:
            return Strip.blank(max(0, width), self.rich_style)
        text, is_title = self._lines[line]
        style = self.get_component_rich_style("bytes-view--title") if is_title else self.rich_style
        return Strip([Segment(fit(text, width), style)], width)
