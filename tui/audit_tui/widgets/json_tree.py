"""A payload as a highlighted tree that folds."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from audit_tui.model.outline import Node, Outline, key_text, value_text
from audit_tui.text import fit

__all__ = ["JsonTree"]

_INDENT = 2


class JsonTree(ScrollView, can_focus=True):
    """Shows a payload, one value a line. `path` and `value` are those of the cursor's line, () for the whole.

    Only the lines on screen are ever drawn, so that 64 KiB of payload open at once.
    """

    BINDING_GROUP_TITLE = "Payload"

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "json-tree--mark",
        "json-tree--key",
        "json-tree--string",
        "json-tree--number",
        "json-tree--constant",
        "json-tree--count",
        "json-tree--cursor",
        "json-tree--cursor-blurred",
    }

    DEFAULT_CSS = """
    JsonTree {
        background: $surface;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
    }
    JsonTree > .json-tree--mark { color: $text-muted; }
    JsonTree > .json-tree--key { color: $text-primary; }
    JsonTree > .json-tree--string { color: $text-success; }
    JsonTree > .json-tree--number { color: $text-warning; }
    JsonTree > .json-tree--constant { color: $text-accent; text-style: italic; }
    JsonTree > .json-tree--count { color: $text-muted; }
    JsonTree > .json-tree--cursor {
        color: $block-cursor-foreground; background: $block-cursor-background; text-style: $block-cursor-text-style;
    }
    JsonTree > .json-tree--cursor-blurred {
        background: $block-cursor-blurred-background; text-style: underline;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Line up", show=False),
        Binding("down,j", "move(1)", "Line down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "first", "First line", show=False),
        Binding("end", "last", "Last line", show=False),
        Binding("enter,space", "toggle_fold", "Fold or unfold", show=False),
        Binding("left", "fold", "Fold, or to what it is in", show=False),
        Binding("right", "unfold", "Unfold, or into it", show=False),
        Binding("minus", "fold_all", "Fold all", show=False),
        Binding("plus", "unfold_all", "Unfold all", show=False),
    ]

    class Moved(Message):
        """The cursor is on another value."""

        def __init__(self, tree: JsonTree, path: tuple[str | int, ...], value: object) -> None:
            super().__init__()
            self.tree = tree
            self.path = path
            self.value = value

        @property
        def control(self) -> JsonTree:
            """The tree."""
            return self.tree

    def __init__(self, payload: object = None, *, id: str | None = None) -> None:  # noqa: A002 - as in Textual
        super().__init__(id=id)
        self._outline = Outline({} if payload is None else payload)
        self._cursor = 0

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where the cursor is: keys, and positions in arrays."""
        return self._outline.path(self._cursor)

    @property
    def value(self) -> object:
        """What is there."""
        return self._outline.node(self._cursor).value

    @property
    def cursor(self) -> int:
        """The cursor's line."""
        return self._cursor

    def show(self, payload: object) -> None:
        """Show another payload, with the cursor on the same path if it is there too, and otherwise on the whole."""
        path = self.path
        self._outline = Outline(payload)
        self._cursor = 0
        self._resized()
        self.scroll_to(y=0, animate=False, immediate=True)
        self._move_to(self._outline.line_of(path) or 0)

    def on_mount(self) -> None:
        self._resized()
        self._tell()

    def render_line(self, y: int) -> Strip:
        """One line on screen, `y` cells below the upper edge."""
        line = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if line >= len(self._outline) or width <= 0:
            return Strip.blank(max(0, width), self.rich_style)
        strip = self._strip(self._outline.node(line), width)
        if line == self._cursor:
            name = "json-tree--cursor" if self.has_focus else "json-tree--cursor-blurred"
            strip = Strip([Segment(strip.text, self.get_component_rich_style(name))], width)
        return strip

    def _strip(self, node: Node, width: int) -> Strip:
        pieces = [
            (self._lead(node, width), "json-tree--mark"),
            ("" if node.key is None else f"{key_text(node.key)}: ", "json-tree--key"),
            (value_text(node.value), _kind_of(node.value)),
        ]
        segments: list[Segment] = []
        left = width
        for text, name in pieces:
            cells = cell_len(text)
            if cells > left:
                segments.append(Segment(fit(text, left), self.get_component_rich_style(name)))
                left = 0
                break
            segments.append(Segment(text, self.get_component_rich_style(name)))
            left -= cells
        if left:
            segments.append(Segment(" " * left, self.rich_style))
        return Strip(segments, width)

    def _lead(self, node: Node, width: int) -> str:
        """The indentation and the mark. Half the width is left to the value, however deep it stands."""
        indent = node.depth * _INDENT
        most = width // 2
        space = " " * indent if indent <= most else f"{node.depth}⋯".ljust(most)
        return f"{space}{'  ' if not node.foldable else '▸ ' if node.folded else '▾ '}"

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Select the line; on its mark, fold or unfold."""
        offset = event.get_content_offset(self)
        line = -1 if offset is None else offset.y + self.scroll_offset.y
        if offset is None or not 0 <= line < len(self._outline):
            return
        self._move_to(line)
        node = self._outline.node(line)
        after = cell_len(self._lead(node, self.scrollable_content_region.width))
        if node.foldable and after - 2 <= offset.x < after:
            self.action_toggle_fold()

    def action_move(self, by: int) -> None:
        self._move_to(self._cursor + by)

    def action_page(self, direction: int) -> None:
        self._move_to(self._cursor + direction * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        self._move_to(0)

    def action_last(self) -> None:
        self._move_to(len(self._outline) - 1)

    def action_toggle_fold(self) -> None:
        self._fold(not self._outline.node(self._cursor).folded)

    def action_fold(self) -> None:
        """Fold; what cannot or already is folded leads to what it is in."""
        node = self._outline.node(self._cursor)
        if node.foldable and not node.folded:
            self._fold(True)
        else:
            self._move_to(self._outline.parent(self._cursor))

    def action_unfold(self) -> None:
        """Unfold; what already is unfolded leads to the first in it."""
        node = self._outline.node(self._cursor)
        if node.foldable and not node.folded:
            self._move_to(self._cursor + 1)
        else:
            self._fold(False)

    def action_fold_all(self) -> None:
        path = self.path[:1]
        self._outline.fold_all(True)
        self._after_fold(self._outline.line_of(path) or 0)

    def action_unfold_all(self) -> None:
        path = self.path
        self._outline.fold_all(False)
        self._after_fold(self._outline.line_of(path) or 0)

    def _fold(self, folded: bool) -> None:
        self._outline.fold(self._cursor, folded)
        self._after_fold(self._cursor)

    def _after_fold(self, line: int) -> None:
        self._resized()
        self._move_to(line)

    def _resized(self) -> None:
        self.virtual_size = Size(1, len(self._outline))
        self.refresh()

    def _move_to(self, line: int) -> None:
        self._cursor = max(0, min(line, len(self._outline) - 1))
        self.refresh()
        self.scroll_to_region(Region(0, self._cursor, 1, 1), animate=False, force=True, immediate=True)
        self._tell()

    def _tell(self) -> None:
        if self.is_attached:
            self.post_message(self.Moved(self, self.path, self.value))


def _kind_of(value: object) -> str:
    match value:
        case str():
            return "json-tree--string"
        case bool() | None:
            return "json-tree--constant"
        case int() | float():
            return "json-tree--number"
        case _:
            return "json-tree--count"
