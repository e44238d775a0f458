"""The line at the bottom: the daemon, the connection, how much comes in, the keys to begin with, and the badge.

At every width it says how the connection is, that it is paused, and what the badge begins with. The keys stand in what
room is left.
"""

from __future__ import annotations

import re

import msgspec
from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from audit_stream.display import safe
from audit_tui.model.badge import Badge
from audit_tui.text import duration, fit
from audit_tui.widgets.badge import BadgeWidget

__all__ = ["StatusBar", "StatusParts"]

_CONNECTION_STYLES = {"ok": "$text-success", "warn": "$text-warning", "bad": "bold $text-error"}
_CONNECTION_MARKS = {"ok": "●", "warn": "◌", "bad": "✗"}
_MIN_NAME = 8
"""Cells of a daemon's name below which it says nothing."""
_MIN_BADGE = 16
"""Cells of a badge with its mark and its first word: the connection is said in words only where they leave so many."""
_PAUSED = "PAUSED"
_DETAILS = re.compile(r"[,:]| in ")
"""What numbers and reasons of a connection follow."""
_KEYS = ("filter", "help", "quit")
"""The names of the bindings whose keys are told. Who knows `?` finds all the others."""
_KEYS_GAP = 3
"""Cells before them, so that they are not taken for one more counter."""


class StatusParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the line says beside the badge. `connection_style` is ok, warn or bad.

    `shown` is such as "PAUSED +3 new (End: live) · 12 of 3,401": where there is little room it is said without what is
    in brackets, then without what follows a comma.
    """

    daemon: str
    connection: str
    connection_style: str = "ok"
    rate_per_s: float = 0.0
    delay_ms: float | None = None
    shown: str = ""


class StatusBar(Horizontal):
    """One line, docked at the bottom. Redraws only when something that can be seen changes."""

    DEFAULT_CSS = """
    StatusBar { dock: bottom; height: 1; background: $panel; color: $text; }
    StatusBar > #parts { width: 1fr; height: 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._parts = StatusParts(daemon="", connection="")
        self._line = Static(markup=False, id="parts")
        self._badge = BadgeWidget(id="badge")
        self._drawn: object = None
        self._keys: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        yield self._line
        yield self._badge

    def on_mount(self) -> None:
        """Look up the keys, which a person may have remapped, before the focus is where they are letters."""
        shown: dict[str, str] = {}
        for active in self.screen.active_bindings.values():
            name, key = active.binding.id, self.app.get_key_display(active.binding)
            if name in _KEYS and len(key) < len(shown.get(name, f"{key} ")):
                shown[name] = key
        if len(shown) == len(_KEYS):
            in_words = ("  ".join(f"{shown[name]} {name}" for name in names) for names in (_KEYS, _KEYS[1:]))
            self._keys = (*in_words, " ".join(shown[name] for name in _KEYS))

    def show(self, parts: StatusParts) -> None:
        """Show these parts from now on."""
        self._parts = parts
        self._draw()

    def show_badge(self, badge: Badge) -> None:
        """Show this badge from now on."""
        if self._badge.show(badge):
            self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        width = self.size.width
        self._badge.fit(width - _least(self._parts, width))
        room = width - self._badge.cells
        pieces = _pieces(self._parts, room)
        left = room - sum(cell_len(text) for text, _ in pieces) - 1
        keys = next((text for text in self._keys if cell_len(text) + _KEYS_GAP <= left), "")
        if keys:
            pieces.append((f"{keys:>{left}}", "$text-muted"))
        if pieces != self._drawn:
            self._drawn = pieces
            self._line.update(Content.assemble(*pieces), layout=False)


def _least(parts: StatusParts, width: int) -> int:
    """Cells of what is said whatever room the badge would like: how the connection is, and that it is paused."""
    mark, paused = 2, cell_len(_PAUSED) + 3 if parts.shown.startswith(_PAUSED) else 0
    in_words = mark + 2 + cell_len(_in_short(parts.connection)) + paused
    return in_words if in_words + _MIN_BADGE <= width else mark + paused


def _in_short(connection: str) -> str:
    """The state of the connection without its numbers and reasons."""
    return _DETAILS.split(safe(connection), maxsplit=1)[0]


def _pieces(parts: StatusParts, room: int) -> list[tuple[str, str]]:
    """What fits into so many cells: the connection and PAUSED before all, then the name, counter, rate and delay."""
    style = _CONNECTION_STYLES.get(parts.connection_style, "")
    mark = _CONNECTION_MARKS.get(parts.connection_style, "●")
    shorter = _shorter(safe(parts.shown))
    for_paused = cell_len(_PAUSED) + 3 if parts.shown.startswith(_PAUSED) else 0
    for_connection = room - 2 - for_paused
    whole, short = f"{mark} {safe(parts.connection)}", f"{mark} {_in_short(parts.connection)}"
    if for_connection > cell_len(short):
        connection = fit(whole, min(cell_len(whole), for_connection))
    else:
        connection = short if for_connection == cell_len(short) else mark
    left = max(room - cell_len(connection) - 2, min(for_paused, room - cell_len(connection) - 1))
    name = safe(parts.daemon)
    # The name gives way to the first of the counters: in full if that leaves something of the name, else in short.
    for_name = (left - cell_len(text) - 3 for text in (shorter[-4], shorter[-2], shorter[-1]))
    room_for_name = next((room for room in for_name if room > _MIN_NAME), left - for_paused)
    name = fit(name, min(cell_len(name), room_for_name - 1)) if room_for_name > min(_MIN_NAME, cell_len(name)) else ""
    left -= cell_len(name) + 1 if name else 0
    fitting = (text for text in shorter if cell_len(text) + 3 <= left)
    rest: list[tuple[str, str]] = []
    for text in (next(fitting, safe(parts.shown)), _rate(parts.rate_per_s), _delay(parts.delay_ms)):
        if text and cell_len(text) + 3 <= left:
            rest.append((f" · {text}", ""))
            left -= cell_len(text) + 3
        elif text:
            break  # the less important never comes without the more important
    return [(f" {name}" if name else "", "bold"), (f" {connection}", style), *rest]


def _shorter(shown: str) -> list[str]:
    """The same in ever fewer words, the last of them only the first thing that it says."""
    things = shown.split(" · ")
    without_brackets = [thing.partition(" (")[0] for thing in things]
    without_commas = [thing.partition(", ")[0] for thing in without_brackets]
    only_first_whole = [without_brackets[0], *without_commas[1:]]
    first_whole, first = [without_brackets[0]], [without_commas[0]]
    bare = [first[0].partition(" +")[0]]
    several = (things, without_brackets, only_first_whole, first_whole, without_commas, first, bare)
    return [" · ".join(each) for each in several]


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}/s" if per_s >= 10 or per_s == 0 else f"{per_s:.1f}/s"


def _delay(delay_ms: float | None) -> str:
    return "" if delay_ms is None else f"delay {duration(delay_ms / 1000)}"
