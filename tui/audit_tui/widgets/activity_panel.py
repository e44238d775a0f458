"""Kinds and sources by how busy they are; choosing rows filters."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from audit_stream.display import safe
from audit_tui.model.activity import Entry
from audit_tui.text import ago, fit, short_count

__all__ = ["ActivityPanel"]

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN = 200


class ActivityPanel(OptionList):
    """Two lists in one: kinds, then sources."""

    class Chosen(Message):
        """Only these kinds and sources are wanted; empty means all."""

        def __init__(self, kinds: tuple[str, ...], sources: tuple[str, ...]) -> None:
            super().__init__()
            self.kinds = kinds
            self.sources = sources

    class Excluded(Message):
        """The events of a term are not wanted."""

        def __init__(self, term: str) -> None:
            super().__init__()
            self.term = term

    BINDINGS = [  # noqa: RUF012 - Textual's own convention
        Binding("x", "exclude", "Without it"),
        Binding("escape", "all", "All again", show=False),
    ]

    DEFAULT_CSS = """
    ActivityPanel { border: none; padding: 0; height: 1fr; background: $panel; text-wrap: nowrap; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, markup=False)
        self._chosen: set[tuple[str, str]] = set()
        self._names: list[tuple[str, str]] = []

    def show(self, kinds: Sequence[Entry], sources: Sequence[Entry]) -> None:
        """Draw the entries anew, with the cursor on the name that it was on."""
        current = self.highlighted
        at = None if current is None or current >= len(self._names) else self._names[current]
        options: list[Option] = []
        names: list[tuple[str, str]] = []
        for title, field, entries in (("KINDS", "kind", kinds), ("SOURCES", "source", sources)):
            options.append(Option(title, disabled=True))
            names.append(("", title))
            for entry in entries[:_SHOWN]:
                options.append(Option(self._line(field, entry)))
                names.append((field, entry.name))
        self._names = names
        self.set_options(options)
        if at in names:
            self.highlighted = names.index(at)

    def _line(self, field: str, entry: Entry) -> Text:
        width = max(20, self.size.width - 2)
        mark = "✓" if (field, entry.name) in self._chosen else " "
        silent = f" silent {ago(entry.silent_for_s).removesuffix(' ago')}" if entry.silent_for_s is not None else ""
        spark = _spark(entry.spark, 8)
        numbers = f"{short_count(entry.total):>6} {entry.share:>4.0%} {entry.rate_per_s:>6.1f}/s {spark}"
        name = fit(f"{mark}{safe(entry.name)}{silent}", max(6, width - len(numbers) - 1))
        return Text(f"{name} {numbers}", no_wrap=True)

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self._chosen ^= {self._names[message.option_index]}
        self._tell()

    def action_exclude(self) -> None:
        """Filter out what the cursor is on."""
        from audit_tui.model.filter_text import term_of

        if self.highlighted is not None and self._names[self.highlighted][0]:
            field, name = self._names[self.highlighted]
            self.post_message(self.Excluded(f"-{term_of(field, name)}"))

    def action_all(self) -> None:
        """Choose nothing, so that all are shown."""
        self._chosen.clear()
        self._tell()

    def _tell(self) -> None:
        kinds = tuple(sorted(name for field, name in self._chosen if field == "kind"))
        sources = tuple(sorted(name for field, name in self._chosen if field == "source"))
        self.post_message(self.Chosen(kinds, sources))


def _spark(counts: Sequence[int], cells: int) -> str:
    size = max(1, len(counts) // cells)
    sums = [sum(counts[start : start + size]) for start in range(0, size * cells, size)]
    top = max(sums, default=0) or 1
    return "".join(_BARS[(value * 8 + top - 1) // top] for value in sums)
