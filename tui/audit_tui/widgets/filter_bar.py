"""The filter: always visible while one is set, with its mistakes shown where they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from audit_stream.display import safe
from audit_stream.kinds import DEFAULT_KINDS

if TYPE_CHECKING:
    from audit_stream.filters import Filter

__all__ = ["FilterBar"]

_FIELDS = ("kind:", "source:", "severity:", "payload.", "since:", "until:", "id:")
_SEVERITIES = ("info", "notice", "warning", "critical")


class _Words(Suggester):
    """Completes the last word: field names, kinds, sources, severities, payload fields."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.values: dict[str, Sequence[str]] = {"severity": _SEVERITIES}
        self.fields: Sequence[str] = ()

    async def get_suggestion(self, value: str) -> str | None:
        """The text with its last word completed, None when nothing begins so."""
        word = value.rpartition(" ")[2].lstrip("-")
        field, colon, part = word.partition(":")
        options: Sequence[str] = [*_FIELDS, *(f"payload.{name}:" for name in self.fields)]
        if colon:
            options, word = self.values.get(field, ()), part.rpartition(",")[2]
        found = next((option for option in options if word and option.startswith(word) and option != word), None)
        return None if found is None else value + found[len(word) :]


class FilterBar(Vertical):
    """One line above the table; hidden while there is no filter and nobody edits one."""

    class Applied(Message):
        """A filter is to be shown."""

        def __init__(self, text: str, filter: Filter) -> None:  # noqa: A002 - the field's word
            super().__init__()
            self.text = text
            self.filter = filter

    class Left(Message):
        """Editing ended without a change."""

    DEFAULT_CSS = """
    FilterBar {
        height: auto; display: none; background: $panel;
        & Input { height: 1; border: none; padding: 0 1; background: $panel; }
        & Static { height: 1; padding: 0 1; color: $text-error; display: none; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._applied = ""
        self._words = _Words()

    def compose(self) -> ComposeResult:
        """The input, and a line for what is wrong with it."""
        yield Input(
            compact=True, placeholder="filter: kind:request_denied severity:>=warning since:15m", suggester=self._words
        )
        yield Static(id="wrong", markup=False)

    def edit(self) -> None:
        """Show the bar and put the cursor into it."""
        self.display = True
        self.screen.set_focus(self.query_one(Input))  # at once: keys that were typed ahead belong here

    def set_applied(self, text: str) -> None:
        """The filter that is in force."""
        self._applied = text
        self.query_one(Input).value = text
        self.display = bool(text)
        self._say("")

    def offer(self, kinds: Sequence[str], sources: Sequence[str], fields: Sequence[str]) -> None:
        """What can be completed."""
        self._words.values = {"kind": kinds, "source": sources, "severity": _SEVERITIES}
        self._words.fields = fields

    async def warm_up(self) -> None:
        """Load the parser in a thread, after the first frame."""
        await asyncio.to_thread(_parse, "kind:other")

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        message.stop()
        if self.query_one(Input).has_focus:
            _, wrong = _parse(message.value)
            self._say(wrong)

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        filter_, wrong = _parse(message.value)
        self._say(wrong)
        if filter_ is not None:
            self.post_message(self.Applied(message.value.strip(), filter_))

    def on_key(self, event: events.Key) -> None:
        """Escape leaves it as it was; tab takes the completion."""
        if event.key == "escape":
            event.stop()
            self.set_applied(self._applied)
            self.post_message(self.Left())
        elif event.key == "tab":
            event.stop()
            event.prevent_default()
            self.query_one(Input).action_cursor_right()

    def _say(self, wrong: str) -> None:
        line = self.query_one("#wrong", Static)
        line.update(safe(wrong))
        line.display = bool(wrong)


def _parse(text: str) -> tuple[Filter | None, str]:
    """The filter, or what is wrong with it under a caret at its place."""
    from audit_stream.filters import FilterError, parse

    try:
        return parse(text, now_ms=time.time_ns() // 1_000_000, kinds=DEFAULT_KINDS), ""
    except FilterError as error:
        return None, f"{' ' * min(error.position, 60)}^ {error.message}"
