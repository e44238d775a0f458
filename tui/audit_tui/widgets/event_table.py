"""The live table: a virtualised window on the log, newest at the bottom.

It draws only the lines that one sees, from `model.view.View`, and keeps its place by absolute index: whatever enters
or leaves memory at either end, the same event stays under the cursor.
"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap

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
from audit_tui.model.cursor import Cursor
from audit_tui.model.find import Finder
from audit_tui.model.rows import Check, Gap, Row
from audit_tui.model.view import Item, View
from audit_tui.text import fit
from audit_tui.widgets.event_lines import EventLine, Styles, draw_gap, draw_header, draw_row

__all__ = ["EventTable"]

_CACHED_LINES = 200


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

    BINDING_GROUP_TITLE = "Table"

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

    def __init__(self, view: View, *, now_ms: Callable[[], int], id: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id)
        self.view = view
        self.cursor = Cursor(view)
        self.time_format = "local"
        self.hidden: frozenset[str] = frozenset()
        self.marked: frozenset[str] = frozenset()  # hashes of events that carry a mark or note
        self.finder: Finder | None = None
        self.column = COLUMNS.index("kind")
        self._now_ms = now_ms
        self._empty_text = ""
        self._seen_version = (-1, -1)
        self._lines: LRUCache[tuple[int, Check, bool, int], EventLine] = LRUCache(_CACHED_LINES)
        self._styles: Styles | None = None
        self._id_digits = 4

    @property
    def cursor_row(self) -> Row | None:
        """The event that the cursor is on."""
        item = self.cursor.item
        return item if isinstance(item, Row) else None

    @property
    def cursor_column(self) -> str:
        """The name of the column that the cursor is in."""
        return COLUMNS[self.column]

    @property
    def rows_shown(self) -> int:
        """Lines for events: the height but for the header."""
        return max(1, self.size.height - 1)

    # What others tell it

    def changed(self) -> None:
        """The view has changed: follow it, or stay where one is; redraw if that changes anything one sees."""
        view = self.view
        version = (view.beginning, view.version)
        if version == self._seen_version:
            return
        if view.beginning != self._seen_version[0]:
            self.cursor.begin()
        self._seen_version = version
        self.cursor.settle(self.rows_shown)
        newest = view.newest
        digits = len(str(newest.event_id)) if newest is not None else 4
        if digits > self._id_digits:
            self._id_digits = digits
            self._lines.clear()
        self.refresh()
        self.ask_for_more()

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
        place = self.view.index_of(event_id)
        self.cursor.go_to(len(self.view.items) - 1 if place is None else place, self.rows_shown)
        self.refresh()
        self.post_message(self.Moved())
        self.ask_for_more()

    def ask_for_more(self) -> None:
        """Say that older or newer events are wanted, if they are."""
        if self.cursor.wants_older:
            self.post_message(self.OlderWanted())
        if self.cursor.wants_newer:
            self.post_message(self.NewerWanted())

    def next_time_format(self) -> str:
        """Show times in the next of the formats; returns which."""
        place = TIME_FORMATS.index(self.time_format)
        self.time_format = TIME_FORMATS[(place + 1) % len(TIME_FORMATS)]
        self.redraw()
        return self.time_format

    # Moving

    def action_move(self, by: int) -> None:
        self._leave_selection()
        self._move(by)

    def action_page(self, pages: int) -> None:
        self._leave_selection()
        self._move(pages * max(1, self.rows_shown - 1))

    def action_extend(self, by: int) -> None:
        self.cursor.extend()
        self._move(by)

    def action_select(self) -> None:
        """Begin to select at the cursor, with every move from here on, or end it."""
        self.cursor.select()
        self.refresh()
        self.post_message(self.Moved())

    def action_cell(self, by: int) -> None:
        shown = [index for index, name in enumerate(COLUMNS) if name not in self.hidden]
        place = shown.index(self.column) if self.column in shown else 0
        self.column = shown[max(0, min(len(shown) - 1, place + by))]
        self._refresh_line(self.cursor.at)

    def action_start(self) -> None:
        self.post_message(self.StartWanted())

    def action_live(self) -> None:
        self.unselect()
        self.post_message(self.LiveWanted())

    def action_open(self) -> None:
        """The event, or the events of the gap, under the cursor."""
        match self.cursor.item:
            case Row() as row:
                self.post_message(self.Opened(row))
            case Gap() as gap:
                self.post_message(self.GapOpened(gap))

    def unselect(self) -> None:
        """Nothing is selected any more."""
        if self.cursor.anchor is not None:
            self.cursor.unselect()
            self.refresh()
            self.post_message(self.Moved())

    def _leave_selection(self) -> None:
        if not self.cursor.holding:
            self.unselect()

    def _move(self, by: int) -> None:
        before, top = self.cursor.at, self.cursor.top
        self.cursor.move(by, self.rows_shown)
        if self.cursor.top != top or self.cursor.anchor is not None:
            self.refresh()
        else:
            self._refresh_line(before)
            self._refresh_line(self.cursor.at)
        self.post_message(self.Moved())
        self.ask_for_more()

    # Mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._move(3)

    def on_click(self, event: events.Click) -> None:
        """To the row and column that was clicked; a second click there opens. On the scroll bar: to there."""
        index = self.cursor.top + event.y - 1
        if event.y < 1 or self.cursor.item_at(index) is None:
            return
        if event.x == self.size.width - 1:
            self._go_along(event.y - 1)
            return
        was_here = index == self.cursor.at
        self.column = COLUMNS.index(self._widths().column_at(event.x))
        self.view.pause()
        before, self.cursor.at = self.cursor.at, index
        self._refresh_line(before)
        self._refresh_line(index)
        self.post_message(self.Moved())
        if was_here and event.chain >= 2:
            self.action_open()

    def _go_along(self, line: int) -> None:
        """To what is as far down in the window as this line is on the scroll bar."""
        self.cursor.go_to((len(self.view.items) - 1) * line // max(1, self.rows_shown - 1), self.rows_shown)
        self.refresh()
        self.post_message(self.Moved())
        self.ask_for_more()

    # Drawing

    def on_resize(self) -> None:
        self._lines.clear()
        self.cursor.settle(self.rows_shown)
        self.refresh()  # some lines may have been drawn already, from where the cursor was

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines.clear()
        self._styles = None

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the header, an event, a gap, or nothing."""
        width = self.size.width
        if self._styles is None:
            self._styles = Styles.of(self)
        styles = self._styles
        if y == 0:
            return Strip([draw_header(self._widths(), width, styles)], width)
        index = self.cursor.top + y - 1
        item = self.cursor.item_at(index)
        if item is None:
            said = wrap(self._empty_text, max(1, width - 4)) if not self.view.items else []
            text = f"  {said[y - 2]}" if 2 <= y < len(said) + 2 else ""
            return Strip([Segment(fit(text, width), styles.muted)], width)
        line = self._line_of(item, index, width - 1, styles)
        column = self.column if index == self.cursor.at and self.has_focus else None
        selected = self.cursor.is_selected(index)
        strip = line.strip(self._over(index, styles), column, styles, selected=selected)
        return Strip([*strip, Segment(self._thumb(y), styles.thumb)], width)

    def _line_of(self, item: Item, index: int, room: int, styles: Styles) -> EventLine:
        if isinstance(item, Gap):
            around = (self.cursor.item_at(index - 1), self.cursor.item_at(index + 1))
            times = [time_text(row, self.time_format, self._now_ms()) for row in around if isinstance(row, Row)]
            return draw_gap(item, room, styles, [text.partition(".")[0] for text in times])
        marked = bool(self.marked) and item.hash in self.marked
        key = (item.event_id, item.check, marked, room)
        line = self._lines.get(key)
        if line is None or line.row is not item:
            when = time_text(item, self.time_format, self._now_ms())
            line = draw_row(item, self._widths(), room, styles, when=when, marked=marked, finder=self.finder)
            if self.time_format != "relative":
                self._lines[key] = line
        return line

    def _widths(self) -> Widths:
        return Widths.of(self.size.width, id_digits=self._id_digits, time_format=self.time_format, hidden=self.hidden)

    def _over(self, index: int, styles: Styles) -> Style | None:
        if index == self.cursor.at:
            return styles.cursor
        return styles.selected if self.cursor.is_selected(index) else None

    def _thumb(self, y: int) -> str:
        """What the scroll bar has on this line."""
        count, rows = len(self.view.items), self.rows_shown
        if count <= rows:
            return " "
        length = max(1, rows * rows // count)
        start = min((self.cursor.top - self.view.first) * rows // count, rows - length)
        return "┃" if start <= y - 1 < start + length else " "

    def _refresh_line(self, index: int) -> None:
        y = index - self.cursor.top + 1
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))
