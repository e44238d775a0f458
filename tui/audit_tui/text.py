"""Text in terminal cells, and numbers and spans as short as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

__all__ = ["ago", "duration", "fit", "in_columns", "short_count"]

_CHARACTERS_PER_CELL = 8
"""A base and seven combining marks: more than any script writes. What goes on stacking marks is cut."""

_MINUTE_S = 60
_HOUR_S = 60 * _MINUTE_S
_DAY_S = 24 * _HOUR_S


def in_columns(pairs: Sequence[tuple[str, str]], *, widest: int = 24) -> list[str]:
    """Names and what they stand for, below each other; a name of more than `widest` cells shifts its own line only."""
    width = max((cells for name, _ in pairs if (cells := cell_len(name)) <= widest), default=0)
    return [f"{name}{' ' * (width - cell_len(name))}  {text}" for name, text in pairs]


def fit(text: str, width: int) -> str:
    """The text in exactly `width` cells: padded with spaces, or cut, which `…` shows.

    A wide character is never halved and a combining mark stays with its base. `text` has gone through `display.safe`.
    """
    if width <= 0:
        return ""
    if text.isascii():  # nearly everything, and one cell a character, since it is safe
        return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
    # A text cannot end in a joiner, which would swallow the cell after it.
    shown = text[: width * _CHARACTERS_PER_CELL].rstrip("\u200d")
    cells = cell_len(shown)
    if len(shown) < len(text.rstrip("\u200d")) or cells > width:
        shown = f"{_longest_prefix(shown, width - 1)}…"
        cells = cell_len(shown)
    return shown + " " * (width - cells)


def _longest_prefix(text: str, width: int) -> str:
    """As many characters as there is room for. A prefix never gets narrower by a character, so halving finds it."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if cell_len(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip("\u200d")


def short_count(number: int) -> str:
    """A count in at most five cells below 10^15, rounded down: `9,999`, `12.3k`, `123k`, `1.2M`."""
    if number < 10_000:
        return f"{number:,}"
    unit = 1_000
    for suffix in "kMG":
        if number < 1_000 * unit:
            return _scaled(number, unit, suffix)
        unit *= 1_000
    return _scaled(number, unit, "T")


def _scaled(number: int, unit: int, suffix: str) -> str:
    whole, rest = divmod(number, unit)
    return f"{whole}{suffix}" if whole >= 100 else f"{whole}.{rest * 10 // unit}{suffix}"


def duration(seconds: float) -> str:
    """A span in its largest unit, rounded down: `250 ms`, `12 s`, `3 min`, `2 h`, `3 d` (from two days on)."""
    if seconds < 1:
        return f"{max(0, int(seconds * 1_000))} ms"
    if seconds < _MINUTE_S:
        return f"{int(seconds)} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min"
    if seconds < 2 * _DAY_S:
        return f"{int(seconds // _HOUR_S)} h"
    return f"{int(seconds // _DAY_S)} d"


def ago(seconds: float) -> str:
    """How long ago: `12 s ago`, `3 min ago`. Less than a second, or ahead because clocks differ, is `now`."""
    return "now" if seconds < 1 else f"{duration(seconds)} ago"
