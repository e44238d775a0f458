"""The filter: always visible while one is set, with its mistakes shown where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from audit_stream.display import safe
from audit_stream.event import system_clock_ms
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry, Severity
from audit_tui.model.completion import complete, taken
from audit_tui.model.filter_text import parsed
from audit_tui.model.searching import Searching
from audit_tui.widgets.bar_input import BarInput
from audit_tui.widgets.completion_list import CompletionList

if TYPE_CHECKING:
    from audit_stream.filters import Filter, FilterError

__all__ = ["FilterBar"]

_SEVERITIES = tuple(severity.label for severity in Severity)
_MAX_HISTORY = 50


class FilterBar(Vertical):
    """One line above the table; hidden while there is no filter and nobody edits one.

    `kinds` is the registry that severities come from: the daemon's, once it has told its own. `history` is what was
    applied, the last last.
    """

    class Applied(Message):
        """A filter is to be shown. Relative times in `text` stay so; in `filter` they are counted from now."""

        def __init__(self, text: str, filter: Filter) -> None:  # noqa: A002 - the field's word
            super().__init__()
            self.text = text
            self.filter = filter

    DEFAULT_CSS = """
    FilterBar {
        height: auto; display: none; background: $panel;
        & Horizontal { height: 1; }
        & .label { width: auto; padding: 0 1; }
        & Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & #search { width: auto; padding: 0 1; color: $text-warning; display: none; }
        & #wrong { height: auto; max-height: 4; color: $text-error; display: none; }
    }
    """

    def __init__(self, *, kinds: KindRegistry = DEFAULT_KINDS, id: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id)
        self.kinds = kinds
        self._applied = ""
        self.history: list[str] = []
        self._recalled = 0  # 0 is what is being typed, 1 the last that was applied
        self._draft = ""
        self._offered: tuple[Sequence[str], Sequence[str], Sequence[str]] = ((), (), ())
        self._back_to: Widget | None = None
        self._looked_at = ""  # the text that the list and the line below the input speak of
        self._input = BarInput(self._key, placeholder="such as kind:request_denied severity:>=warning since:15m")
        self._wrong = Static(id="wrong", markup=False)
        self._search = Static(id="search", markup=False)
        self._searched = ""
        self._list = CompletionList()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static("filter", classes="label", markup=False)
            yield self._input
            yield self._search
        yield self._wrong
        yield self._list

    def edit(self, back_to: Widget) -> None:
        """Show the bar and put the cursor into it; when the editing ends it goes to `back_to`."""
        self._back_to = back_to
        self.display = True
        self._recalled = 0
        if self._applied:
            self._set(f"{self._applied} ")  # one types the next term
        self.screen.set_focus(self._input)  # at once: keys that were typed ahead belong here

    def set_applied(self, text: str) -> None:
        """The filter that is in force."""
        self._applied = text
        if text:
            self.history = [*(each for each in self.history if each != text), text][-_MAX_HISTORY:]
        self._restore()

    def show_search(self, search: Searching | None) -> None:
        """How far a search through the history has come."""
        text = "" if search is None else search.text
        if search is not None and cell_len(text) > self.size.width // 2:  # the filter itself needs room too
            text = search.short
        if text != self._searched:
            self._searched = text
            self._search.update(text)
            self._search.display = bool(text)

    def offer(self, kinds: Sequence[str], sources: Sequence[str], fields: Sequence[str]) -> None:
        """What can be completed, the likeliest first; `fields` are paths as `completion.payload_paths` writes them."""
        self._offered = (kinds, sources, fields)

    async def warm_up(self) -> None:
        """Load the parser in a thread, after the first frame."""
        await asyncio.to_thread(parsed, "kind:other", 0, self.kinds)

    # What is typed

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        message.stop()
        if self.screen.focused is self._input:
            self._look()

    def _look(self) -> None:
        """See what has been typed, unless that has been seen already."""
        text = self._input.value
        if text == self._looked_at:
            return
        self._looked_at = text
        if text.strip() in (self._applied, self._recall(self._recalled)):
            self._list.close()
        else:
            self._open()
        self._check(text, typing=True)

    @on(Input.Blurred)
    def _blurred(self, message: Input.Blurred) -> None:
        message.stop()
        # Somebody clicked elsewhere: what the bar says must be what the table shows. A terminal that only loses the
        # focus, or another screen above, leaves the cursor here.
        if self.app.app_focus and self.screen.focused is not self._input:
            self._restore()

    def _key(self, key: str) -> bool:
        """Keys that an input does not know, or that mean something else in a filter."""
        handle = {
            "enter": self._enter,
            "escape": self._escape,
            "tab": self._tab,
            "down": self._down,
            "up": self._up,
            "ctrl+u": self._clear,
        }.get(key)
        if handle is None:
            return False
        self._look()
        handle()
        return True

    def _enter(self) -> None:
        if self._list.is_open and self._list.highlighted is not None:
            self._take(self._list.highlighted)
            return
        self._list.close()
        text = self._input.value.strip()
        filter_ = self._check(text)
        if filter_ is not None:
            self.screen.set_focus(self._back_to)  # at once: what is typed from here on is meant for it
            self.set_applied(text)
            self.post_message(self.Applied(text, filter_))

    def _escape(self) -> None:
        if self._list.is_open:
            self._list.close()
        else:
            self.screen.set_focus(self._back_to)
            self._restore()

    def _tab(self) -> None:
        if self._list.is_open:
            self._take(self._list.highlighted or 0)
        else:
            self._open()

    def _down(self) -> None:
        if self._list.is_open:
            self._list.action_cursor_down()
        else:
            self._go_to_history(self._recalled - 1)

    def _up(self) -> None:
        if self._list.is_open:
            self._list.action_cursor_up()
        else:
            self._go_to_history(self._recalled + 1)

    def _clear(self) -> None:
        self._recalled = 0
        self._set("")

    def _set(self, text: str, cursor: int | None = None) -> None:
        self._input.value = text
        self._input.cursor_position = len(text) if cursor is None else cursor

    def _restore(self) -> None:
        self._list.close()
        self._recalled = 0
        self._set(self._applied)
        self._say(None)
        self.display = bool(self._applied) or self.screen.focused is self._input

    # History

    def _past(self) -> list[str]:
        """What can be recalled, the latest first: not what is in force, which one sees already."""
        return [text for text in reversed(self.history) if text != self._applied]

    def _recall(self, place: int) -> str | None:
        return self._past()[place - 1] if place else None

    def _go_to_history(self, place: int) -> None:
        if not 0 <= place <= len(self._past()) or place == self._recalled:
            return
        if self._recalled == 0:
            self._draft = self._input.value
        self._recalled = place
        self._set(self._recall(place) or self._draft)

    # Completion

    def _open(self) -> None:
        kinds, sources, fields = self._offered
        cursor = self._input.cursor_position
        found = complete(self._input.value, cursor, kinds=kinds, sources=sources, fields=fields, severities=_SEVERITIES)
        self._list.open(found, x=self._cells_before(found.start))

    def _take(self, index: int) -> None:
        found = self._list.completions
        text, cursor = taken(self._input.value, found, found.options[index])
        self._list.close()
        self._set(text, cursor)

    @on(OptionList.OptionSelected)
    def _option_clicked(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self._take(message.option_index)
        self.screen.set_focus(self._input)

    # Mistakes

    def _check(self, text: str, *, typing: bool = False) -> Filter | None:
        """The filter; None when it is none, which is then said, unless one is typing it and it has completions."""
        found = parsed(text, system_clock_ms(), self.kinds)
        if isinstance(found, Exception):
            unfinished = typing and self._list.is_open and found.position >= self._list.completions.start
            self._say(None if unfinished else found)
            return None
        self._say(None)
        return found

    def _say(self, error: FilterError | None) -> None:
        self._wrong.display = error is not None
        self._input.typed_text.wrong = None if error is None else (error.position, error.position + error.length)
        self._input.refresh()
        if error is not None:
            self._wrong.update(Content(self._under_caret(error)))

    def _under_caret(self, error: FilterError) -> str:
        """A caret at the mistake and the message beside it, or below where there is no room for it."""
        message, room = safe(error.message), max(1, self.size.width or self.app.size.width)
        cells = max(0, min(self._cells_before(error.position), room - 1))
        caret = f"{' ' * cells}^"
        return f"{caret} {message}" if cells + 2 + cell_len(message) <= room else f"{caret}\n{message}"

    def _cells_before(self, position: int) -> int:
        """How far from the bar's left edge a character of the input stands."""
        before = self._input.typed_text(self._input.value[:position]).cell_len
        label = self._input.region.x - self.region.x
        return max(0, label + before - self._input.scroll_offset.x)
