"""Filters that have a name: choosing, keeping and removing them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from audit_stream.display import safe
from audit_tui.screens.closing import Dialog
from audit_tui.text import in_columns
from audit_tui.widgets.choices import Choices
from audit_tui.widgets.said import Said

__all__ = ["NamedFiltersScreen"]

_HINT = "Enter filters · s keeps the present filter · Delete removes · Escape closes"
_MAX_NAME = 64


class NamedFiltersScreen(Dialog[str | None]):
    """The named filters; the result is the text of the chosen one, or None.

    `save` keeps a text under a name, or with None removes the name, and returns all filters as they are then; it may
    block and is called in a thread. What is still there after a removal stands in the settings file.
    """

    DEFAULT_CSS = """
    NamedFiltersScreen > Vertical { width: 84; }
    NamedFiltersScreen OptionList { max-height: 16; }
    NamedFiltersScreen Input { display: none; }
    NamedFiltersScreen Input.-asked { display: block; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "name", "Keep the present filter", id="filter-keep"),
        Binding("delete", "remove", "Remove", id="filter-remove"),
        Binding("escape", "leave", "Close"),
    ]

    def __init__(
        self,
        filters: Mapping[str, str],
        current: str,
        *,
        save: Callable[[str, str | None], Mapping[str, str]],
    ) -> None:
        super().__init__()
        self._filters = dict(sorted(filters.items()))
        self._current = current
        self._save = save

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Named filters"
            yield Input(placeholder="a name for the present filter", max_length=_MAX_NAME, compact=True)
            yield Choices(*self._options(), compact=True)
            yield Said(self._hint)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        self.dismiss(list(self._filters.values())[message.option_index])

    def action_name(self) -> None:
        if not self._current.strip():
            self.say("✗ there is no filter at present: type one first, with /", is_error=True)
            return
        line = self.query_one(Input)
        line.add_class("-asked")
        line.focus()
        self.say(f"Enter keeps {safe(self._current)}")

    def on_input_submitted(self, message: Input.Submitted) -> None:
        name = message.value.strip()
        if name:
            self._close_line()
            self.run_worker(self._change(name, self._current), exclusive=True)

    def action_remove(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None and not self.query_one(Input).has_class("-asked"):
            self.run_worker(self._change(list(self._filters)[at], None), exclusive=True)

    def action_leave(self) -> None:
        """Out of the line for a name, then out of the screen."""
        if self.query_one(Input).has_class("-asked"):
            self._close_line()
        else:
            self.dismiss(None)

    async def _change(self, name: str, text: str | None) -> None:
        after = await asyncio.to_thread(self._save, name, text)
        self._filters = dict(sorted(after.items()))
        names = list(self._filters)
        shown = self.query_one(OptionList)
        at = names.index(name) if name in names else min(shown.highlighted or 0, len(names) - 1)
        shown.clear_options()
        shown.add_options(self._options())
        shown.highlighted = at if names else None
        if text is not None:
            self.say(f"✓ kept as {safe(name)}")
        elif name in self._filters:
            self.say(f"✗ {safe(name)} stands in the settings file: remove it there", is_error=True)
        else:
            self.say(f"✓ {safe(name)} removed")

    def _options(self) -> list[Option]:
        lines = in_columns([(safe(name), safe(text)) for name, text in self._filters.items()])
        return [Option(Text(line, no_wrap=True)) for line in lines]

    @property
    def _hint(self) -> str:
        return _HINT if self._filters else f"No filter has a name yet. {_HINT}"

    def _close_line(self) -> None:
        line = self.query_one(Input)
        line.remove_class("-asked")
        line.clear()
        self.query_one(OptionList).focus()
        self.say(self._hint)
