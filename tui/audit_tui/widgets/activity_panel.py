"""The panel of kinds and sources: how busy each is, and choosing among them or leaving them out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from audit_tui.model.activity import Dimension, Entry
from audit_tui.widgets.activity_lines import (
    ActivityColumns,
    ActivityLine,
    entry_parts,
    header_text,
    in_order_of,
    lines_of,
    nearest_entry,
)

__all__ = ["ActivityPanel"]

_STILL_S = 3.0
"""After a key or the mouse the order stays for so long: no row jumps away from under the hand."""


class ActivityPanel(ScrollView, can_focus=True):
    """Kinds, then sources, each the busiest first. The cursor stays on its name when the order changes.

    `clock` is monotonic, in seconds.
    """

    DEFAULT_CSS = """
    ActivityPanel {
        width: 44;
        height: 1fr;
        background: $surface;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
        scrollbar-background-hover: $surface;
        scrollbar-background-active: $surface;
    }
    ActivityPanel > .activity-panel--header { color: $text-primary; text-style: bold; }
    ActivityPanel > .activity-panel--muted { color: $text-muted; }
    ActivityPanel > .activity-panel--notice { color: $text-accent; }
    ActivityPanel > .activity-panel--warning { color: $text-warning; }
    ActivityPanel > .activity-panel--critical { color: $text-error; text-style: bold; }
    ActivityPanel > .activity-panel--silent { color: $text-warning; text-style: italic; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "activity-panel--header",
        "activity-panel--muted",
        "activity-panel--info",
        "activity-panel--notice",
        "activity-panel--warning",
        "activity-panel--critical",
        "activity-panel--silent",
    }

    BINDING_GROUP_TITLE = "Kinds & sources"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
        Binding("left", "section('kind')", "Kinds", show=False),
        Binding("right", "section('source')", "Sources", show=False),
        Binding("space,enter", "choose", "Choose", id="activity-choose"),
        Binding("x", "exclude", "Exclude", id="exclude"),
        Binding("escape", "clear", "Clear the choice"),
    ]

    class Chosen(Message):
        """Another choice: what to show. Nothing chosen in a dimension means everything; sorted by name.

        What is chosen is not left out any more; when all is `cleared`, nothing is.
        """

        def __init__(self, kinds: tuple[str, ...], sources: tuple[str, ...], *, cleared: bool = False) -> None:
            super().__init__()
            self.kinds = kinds
            self.sources = sources
            self.cleared = cleared

    class Excluded(Message):
        """One kind or source is not to be shown, nor chosen; again, if it was left out already."""

        def __init__(self, dimension: Dimension, name: str) -> None:
            super().__init__()
            self.dimension = dimension
            self.name = name

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._clock = clock
        self._lines = lines_of((), ())
        self._cursor = 1
        self._chosen: dict[Dimension, set[str]] = {"kind": set(), "source": set()}
        self._excluded: dict[Dimension, set[str]] = {"kind": set(), "source": set()}
        self._touched_s: float | None = None

    def on_mount(self) -> None:
        self._resize()

    def show(self, kinds: Sequence[Entry], sources: Sequence[Entry]) -> None:
        """Show these, ranked; about once a second. Costs nothing but the look when nothing that is visible changed."""
        before = self._visible()
        key = self._current.key
        if self._still:
            kinds, sources = in_order_of(self._lines, "kind", kinds), in_order_of(self._lines, "source", sources)
        self._lines = lines_of(kinds, sources)
        self._cursor = self._find(key)
        self._resize()
        if self.has_focus:
            self._scroll_into_view()
        if self._visible() != before:
            self.refresh()

    def set_choice(
        self,
        kinds: Iterable[str] = (),
        sources: Iterable[str] = (),
        not_kinds: Iterable[str] = (),
        not_sources: Iterable[str] = (),
    ) -> None:
        """Show these as chosen, and those as left out, such as when the filter was changed elsewhere. Posts nothing."""
        self._chosen = {"kind": set(kinds), "source": set(sources)}
        self._excluded = {"kind": set(not_kinds), "source": set(not_sources)}
        self._choice_changed()

    # What is done with keys and the mouse

    def action_move(self, lines: int) -> None:
        self._go(self._cursor + lines, 1 if lines > 0 else -1)

    def action_page(self, pages: int) -> None:
        self._go(self._cursor + pages * max(1, self.size.height - 1), pages)

    def action_edge(self, direction: int) -> None:
        self._go(0 if direction < 0 else len(self._lines) - 1, direction)

    def action_section(self, dimension: Dimension) -> None:
        """To the first kind or source, with the header in view."""
        header = self._lines.index(ActivityLine(dimension))
        self._go(header + 1, 1)
        self.scroll_to(y=header, animate=False)

    def action_choose(self) -> None:
        self._touch()
        line = self._current
        if line.entry is None or line.entry.rest:
            return
        self._chosen[line.dimension] ^= {line.entry.name}
        self._excluded[line.dimension] -= {line.entry.name}
        self._post_choice()

    def action_exclude(self) -> None:
        """Ask for everything but what is under the cursor, or for that too again."""
        self._touch()
        line = self._current
        if line.entry is None or line.entry.rest:
            return
        # Shown at once: an escape that was typed right after it must find that there is something to take back.
        self._excluded[line.dimension] ^= {line.entry.name}
        self._chosen[line.dimension] -= {line.entry.name}
        self._choice_changed()
        self.post_message(self.Excluded(line.dimension, line.entry.name))

    def action_clear(self) -> None:
        self._touch()
        if self._has_choice:
            self.set_choice()
            self._post_choice(cleared=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a choice, escape is for whoever holds the panel."""
        return self._has_choice if action == "clear" else super().check_action(action, parameters)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        event.stop()
        index = self.scroll_offset.y + offset.y
        if index < len(self._lines) and self._lines[index].entry is not None:
            self._cursor = index
            self.action_choose()
            self.refresh()

    def on_mouse_move(self) -> None:
        self._touch()

    def on_mouse_scroll_up(self) -> None:
        self._touch()

    def on_mouse_scroll_down(self) -> None:
        self._touch()

    def on_resize(self) -> None:
        self._resize()

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        if index >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line, columns = self._lines[index], ActivityColumns.of(width)
        if line.entry is None:
            text = header_text(line.dimension, self._lines, len(self._chosen[line.dimension]), columns)
            segments = [Segment(text, self._style("header"))]
        else:
            segments = self._entry_segments(line, line.entry, columns, cursor=index == self._cursor and self.has_focus)
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _entry_segments(
        self, line: ActivityLine, entry: Entry, columns: ActivityColumns, *, cursor: bool
    ) -> list[Segment]:
        excluded = not entry.rest and entry.name in self._excluded[line.dimension]
        chosen = not entry.rest and not excluded and entry.name in self._chosen[line.dimension]
        marks, name, numbers = entry_parts(entry, columns, cursor=cursor, chosen=chosen, excluded=excluded)
        loud = self._style(entry.severity.label)
        quiet = self._style("muted" if entry.silent_for_s is None else "silent")
        over = Style(bold=chosen or None, reverse=cursor or None)
        return [Segment(marks, loud + over), Segment(name, loud + over), Segment(numbers, quiet + over)]

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"activity-panel--{name}")

    def _visible(self) -> list[str]:
        return [self.render_line(y).text for y in range(self.size.height)] if self.is_attached else []

    # The cursor and the order

    @property
    def _current(self) -> ActivityLine:
        return self._lines[self._cursor]

    @property
    def _still(self) -> bool:
        return self._touched_s is not None and self._clock() - self._touched_s < _STILL_S

    def _touch(self) -> None:
        self._touched_s = self._clock()

    def _find(self, key: tuple[Dimension, str, bool] | None) -> int:
        if key is not None:
            for index, line in enumerate(self._lines):
                if line.key == key:
                    return index
        return nearest_entry(self._lines, self._cursor, 1)

    def _go(self, index: int, direction: int) -> None:
        self._touch()
        self._cursor = nearest_entry(self._lines, index, direction)
        self._scroll_into_view()
        self.refresh()

    def _scroll_into_view(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        # The header above the first entry of all comes into view with it.
        wanted = 0 if self._cursor == 1 else self._cursor
        if wanted < top:
            self.scroll_to(y=wanted, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)

    def _resize(self) -> None:
        size = Size(self.scrollable_content_region.width, len(self._lines))
        if size != self.virtual_size:
            self.virtual_size = size

    @property
    def _has_choice(self) -> bool:
        return any(self._chosen.values()) or any(self._excluded.values())

    def _choice_changed(self) -> None:
        self.refresh()
        self.refresh_bindings()

    def _post_choice(self, *, cleared: bool = False) -> None:
        self._choice_changed()
        kinds, sources = (tuple(sorted(self._chosen[each])) for each in ("kind", "source"))
        self.post_message(self.Chosen(kinds, sources, cleared=cleared))
