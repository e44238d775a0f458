"""The live table: a virtualised window on the log, newest at the bottom.

It draws only the lines that one sees, from `model.view.View`, and keeps its place by absolute index: whatever enters
or leaves memory at either end, the same event stays under the cursor.
"""

from __future__ import annotations

import time

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.cache import LRUCache
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from audit_tui.model.columns import COLUMNS, TIME_FORMATS, Widths, time_text
from audit_tui.model.find import Finder
from audit_tui.model.rows import Check, Gap, Row
from audit_tui.model.view import Item, View
from audit_tui.text import fit
from audit_tui.widgets.event_lines import Line, Styles, draw_gap, draw_row

__all__ = ["EventTable"]

_NEAR = 100
"""Rows from an end at which more are asked for, so that they are there before one arrives."""

_CACHED_LINES = 1_000


class EventTable(Widget, can_focus=True):
    """Shows `view`; call `changed` whenever that has changed."""

    class Opened(Message):
        """An event was chosen."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class GapOpened(Message):
        """The events of a gap are wanted."""

        def __init__(self, gap: Gap) -> None:
            super().__init__()
            self.gap = gap

    class OlderWanted(Message):
        """The reader comes near the older end of what is in memory."""

    class NewerWanted(Message):
        """The reader comes near the newer end of a window that is detached from the live end."""

    class Moved(Message):
        """The cursor moved, or following began or ended."""

    class StartWanted(Message):
        """The first event of the log is wanted."""

    class LiveWanted(Message):
        """The live end is wanted."""

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("up,k", "move(-1)", "Up", id="up", show=False),
        Binding("down,j", "move(1)", "Down", id="down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", id="page-up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", id="page-down", show=False),
        Binding("home", "start", "First event", id="start", show=False),
        Binding("end,G", "live", "Live end", id="live"),
        Binding("left,h", "cell(-1)", "Cell left", id="cell-left", show=False),
        Binding("right,l", "cell(1)", "Cell right", id="cell-right", show=False),
        Binding("enter", "open", "Detail", id="detail"),
        Binding("shift+up", "extend(-1)", "Select up", id="select-up", show=False),
        Binding("shift+down", "extend(1)", "Select down", id="select-down", show=False),
        Binding("s", "select", "Select", id="select", show=False),
    ]

    COMPONENT_CLASSES = {  # noqa: RUF012 - Textual's own convention
        "event-table--header",
        "event-table--info",
        "event-table--notice",
        "event-table--warning",
        "event-table--critical",
        "event-table--muted",
        "event-table--broken",
        "event-table--cursor",
        "event-table--cell",
        "event-table--selected",
        "event-table--found",
        "event-table--gap",
        "event-table--thumb",
    }

    DEFAULT_CSS = """
    EventTable {
        width: 1fr;
        height: 1fr;
        background: $surface;
        color: $foreground;
        & > .event-table--header { background: $panel; color: $foreground; text-style: bold; }
        & > .event-table--info { color: $foreground; }
        & > .event-table--notice { color: $text-accent; }
        & > .event-table--warning { color: $text-warning; text-style: bold; }
        & > .event-table--critical { color: $text-error; text-style: bold; }
        & > .event-table--muted { color: $foreground 60%; }
        & > .event-table--broken { background: $error; color: $text; text-style: bold; }
        & > .event-table--cursor { background: $block-cursor-blurred-background; }
        &:focus > .event-table--cursor { background: $primary 45%; }
        & > .event-table--cell { text-style: underline; }
        & > .event-table--selected { background: $secondary 35%; }
        & > .event-table--found { text-style: reverse; }
        & > .event-table--gap { background: $warning 20%; color: $foreground; text-style: italic; }
        & > .event-table--thumb { color: $foreground 40%; }
    }
    """

    def __init__(self, view: View, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.view = view
        self.time_format = "local"
        self.hidden: frozenset[str] = frozenset()
        self.marked: frozenset[str] = frozenset()  # hashes of events that carry a mark or note
        self.finder: Finder | None = None
        self.column = 3
        self._empty_text = ""
        self._top = 0
        self._cursor = 0
        self._anchor: int | None = None
        self._seen_version = (-1, -1)
        self._lines: LRUCache[tuple[int, Check, bool, int], Line] = LRUCache(_CACHED_LINES)
        self._styles: Styles | None = None
        self._id_digits = 4
        self._asked_at = -1

    # What is where

    @property
    def cursor_place(self) -> int:
        """Where in the window the cursor is."""
        return self._cursor - self.view.first

    @property
    def cursor_item(self) -> Item | None:
        """What the cursor is on."""
        index = self._cursor - self.view.first
        return self.view.items[index] if 0 <= index < len(self.view.items) else None

    @property
    def cursor_row(self) -> Row | None:
        """The event that the cursor is on."""
        item = self.cursor_item
        return item if isinstance(item, Row) else None

    @property
    def cursor_column(self) -> str:
        """The name of the column that the cursor is in."""
        return COLUMNS[self.column]

    @property
    def selection(self) -> list[Row]:
        """The selected events, or the one under the cursor."""
        anchor = self._cursor if self._anchor is None else self._anchor
        low, high = sorted((anchor, self._cursor))
        first = self.view.first
        indexes = range(max(0, low - first), min(len(self.view.items), high - first + 1))
        return [item for item in (self.view.items[index] for index in indexes) if isinstance(item, Row)]

    @property
    def rows_shown(self) -> int:
        """Lines for events: the height but for the header."""
        return max(1, self.size.height - 1)

    # What others tell it

    def changed(self) -> None:
        """The view has changed: follow it, or stay where one is; redraw if that changes anything one sees."""
        view = self.view
        version = (view.version_of_filter, view.version)
        if version == self._seen_version:
            return
        began_anew = view.version_of_filter != self._seen_version[0]
        self._seen_version = version
        if began_anew:
            self._anchor = None
            self._cursor = self._top = view.first
        if view.following:
            self._cursor = view.first + len(view.items) - 1
        self._settle()
        newest = view.newest
        digits = len(str(newest.event_id)) if newest is not None else 4
        if digits > self._id_digits:
            self._id_digits = digits
            self._lines.clear()
        self.refresh()
        self._ask_for_more()

    def show_empty(self, text: str) -> None:
        """What to say while there is no event."""
        if text != self._empty_text:
            self._empty_text = text
            if not self.view.items:
                self.refresh()

    def redraw(self) -> None:
        """Draw all lines anew, because what they look like has changed."""
        self._lines.clear()
        self._styles = None
        self.refresh()

    def go_to(self, event_id: int) -> None:
        """Put the cursor on this event, or the next after it, in what is in memory; pauses."""
        index = self.view.index_of(event_id)
        if index is None:
            index = len(self.view.items) - 1
        self.view.pause()
        self._cursor = self.view.first + index
        self._top = self._cursor - self.rows_shown // 2
        self._settle()
        self.refresh()
        self.post_message(self.Moved())
        self._ask_for_more()

    def next_time_format(self) -> str:
        """Show times in the next of the formats; returns which."""
        place = TIME_FORMATS.index(self.time_format) if self.time_format in TIME_FORMATS else 0
        self.time_format = TIME_FORMATS[(place + 1) % len(TIME_FORMATS)]
        self.redraw()
        return self.time_format

    # Moving

    def action_move(self, by: int) -> None:
        """Up or down."""
        self._anchor = None
        self._move(by)

    def action_page(self, pages: int) -> None:
        """A screenful up or down."""
        self._anchor = None
        self._move(pages * max(1, self.rows_shown - 1))

    def action_extend(self, by: int) -> None:
        """Up or down, selecting."""
        if self._anchor is None:
            self._anchor = self._cursor
        self._move(by)
        self.refresh()

    def action_select(self) -> None:
        """Begin to select at the cursor, or end it."""
        self._anchor = self._cursor if self._anchor is None else None
        self.refresh()

    def action_cell(self, by: int) -> None:
        """To the next column that is shown."""
        shown = [index for index, name in enumerate(COLUMNS) if name not in self.hidden]
        place = shown.index(self.column) if self.column in shown else 0
        self.column = shown[max(0, min(len(shown) - 1, place + by))]
        self._refresh_line(self._cursor)

    def action_start(self) -> None:
        """To event 1."""
        self.post_message(self.StartWanted())

    def action_live(self) -> None:
        """To the live end, following."""
        self._anchor = None
        self.post_message(self.LiveWanted())

    def action_open(self) -> None:
        """The event, or the events of the gap, under the cursor."""
        match self.cursor_item:
            case Row() as row:
                self.post_message(self.Opened(row))
            case Gap() as gap:
                self.post_message(self.GapOpened(gap))

    def _move(self, by: int) -> None:
        view = self.view
        if not view.items:
            return
        before, top = self._cursor, self._top
        self._cursor = max(view.first, min(view.first + len(view.items) - 1, self._cursor + by))
        if by < 0:
            view.pause()
        elif view.attached and not view.following and self._cursor == view.first + len(view.items) - 1 != before:
            pass  # at the end without following: only the key for it follows, so that "off" holds
        if abs(by) > 1:
            self._top += by
        self._settle()
        if self._top != top:
            self.refresh()
        else:
            self._refresh_line(before)
            self._refresh_line(self._cursor)
        self.post_message(self.Moved())
        self._ask_for_more()

    def _settle(self) -> None:
        """Keep cursor and top within the window, and the cursor within what one sees."""
        first, count = self.view.first, len(self.view.items)
        self._cursor = max(first, min(first + count - 1, self._cursor)) if count else first
        rows = self.rows_shown
        self._top = min(max(self._top, self._cursor - rows + 1), self._cursor)
        self._top = max(first, min(self._top, first + max(0, count - rows)))

    def _ask_for_more(self) -> None:
        view = self.view
        if not view.at_start and self._top - view.first < _NEAR and len(view.items) + 1 >= min(self.rows_shown, 2):
            self.post_message(self.OlderWanted())
        elif not view.attached and view.first + len(view.items) - self._cursor < _NEAR:
            self.post_message(self.NewerWanted())

    # Mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three lines up."""
        event.stop()
        self._move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three lines down."""
        event.stop()
        self._move(3)

    def on_click(self, event: events.Click) -> None:
        """The cursor to where it was clicked; a second click there opens."""
        place = self._top + event.y - 1
        if event.y < 1 or not self.view.first <= place < self.view.first + len(self.view.items):
            return
        if event.x == self.size.width - 1:
            return
        was_here = place == self._cursor
        self.view.pause()
        old, self._cursor = self._cursor, place
        self._refresh_line(old)
        self._refresh_line(place)
        self.post_message(self.Moved())
        if was_here and event.chain >= 2:
            self.action_open()

    # Drawing

    def on_resize(self) -> None:
        """Another width means other columns."""
        self._lines.clear()
        if self.view.following:
            self._cursor = self.view.first + len(self.view.items) - 1
        self._settle()

    def notify_style_update(self) -> None:
        """Another theme means other colours."""
        super().notify_style_update()
        self._lines.clear()
        self._styles = None

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the header, an event, a gap, or nothing."""
        width = self.size.width
        styles = self._styles
        if styles is None:
            styles = self._styles = Styles.of(self)
        if y == 0:
            return self._header(width, styles)
        index = self._top + y - 1
        place = index - self.view.first
        items = self.view.items
        if not 0 <= place < len(items):
            text = self._empty_text if not items and y == 2 else ""
            return Strip([Segment(fit(f"  {text}" if text else "", width), styles.muted)], width)
        item = items[place]
        room = width - 1
        if isinstance(item, Gap):
            line = draw_gap(item, room, styles, self._around_gap(place))
        else:
            line = self._line_of(item, room, styles)
        over = self._over(index, styles)
        strip = line.strip(over, self.column if index == self._cursor and self.has_focus else None, styles)
        return Strip([*strip, Segment(self._thumb(y), styles.thumb)], width)

    def _line_of(self, row: Row, room: int, styles: Styles) -> Line:
        marked = row.hash in self.marked if self.marked else False
        key = (row.event_id, row.check, marked, room)
        line = self._lines.get(key)
        if line is None or line.row is not row:
            line = draw_row(
                row,
                self._widths(),
                room,
                styles,
                when=time_text(row, self.time_format, time.time_ns() // 1_000_000),
                marked=marked,
                finder=self.finder,
            )
            if self.time_format != "relative":
                self._lines[key] = line
        return line

    def _widths(self) -> Widths:
        return Widths.of(self.size.width, id_digits=self._id_digits, time_format=self.time_format, hidden=self.hidden)

    def _header(self, width: int, styles: Styles) -> Strip:
        widths = self._widths()
        cells = [
            ("  #", widths.id + 2),
            ("time", widths.time),
            ("s" if widths.severity == 1 else "sev", widths.severity),
            ("kind", widths.kind),
            ("source", widths.source),
        ]
        text = "".join(f"{fit(name, cells_)} " for name, cells_ in cells if cells_) + "payload"
        return Strip([Segment(fit(text, width), styles.header)], width)

    def _over(self, index: int, styles: Styles) -> Style | None:
        if index == self._cursor:
            return styles.cursor
        if self._anchor is not None:
            low, high = sorted((self._anchor, self._cursor))
            if low <= index <= high:
                return styles.selected
        return None

    def _around_gap(self, place: int) -> tuple[str, str]:
        items = self.view.items
        around = (items[place - 1] if place else None, items[place + 1] if place + 1 < len(items) else None)
        now_ms = time.time_ns() // 1_000_000
        before, after = (
            time_text(item, self.time_format, now_ms).partition(".")[0] if isinstance(item, Row) else ""
            for item in around
        )
        return before, after

    def _thumb(self, y: int) -> str:
        count, rows = len(self.view.items), self.rows_shown
        if count <= rows:
            return " "
        start = (self._top - self.view.first) * rows // count
        length = max(1, rows * rows // count)
        start = min(start, rows - length)
        return "┃" if start <= y - 1 < start + length else " "

    def _refresh_line(self, index: int) -> None:
        y = index - self._top + 1
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))
