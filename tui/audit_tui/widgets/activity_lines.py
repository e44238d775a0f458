"""Lines of the kind and source panel: what stands in them and where, in cells."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from audit_stream.display import safe
from audit_tui.model.activity import SPARK_BUCKET_S, SPARK_BUCKETS, Dimension, Entry
from audit_tui.model.columns import SEVERITY_MARKS
from audit_tui.text import duration, fit, short_count

__all__ = [
    "ActivityColumns",
    "ActivityLine",
    "entry_parts",
    "header_text",
    "in_order_of",
    "lines_of",
    "nearest_entry",
    "rate_text",
    "share_text",
    "spark_text",
]

_BARS = "▁▂▃▄▅▆▇█"

_MARK_CELLS = 4
_COUNT_CELLS = 6
_SHARE_CELLS = 4
_RATE_CELLS = 6
_MINUTE_CELLS = 60 // SPARK_BUCKET_S
"""The least sparkline: with the count it leaves the 13 cells of `silent 59 min`."""
_NAME_CELLS = (19, 22, 33)
"""What a name gets before the sparkline, before the rate and before a longer sparkline.

With 22 two thirds of the usual kinds are whole; the longest has 33.
"""


class ActivityLine(msgspec.Struct, frozen=True):
    """A line of the panel; `entry` is None for a section's header."""

    dimension: Dimension
    entry: Entry | None = None

    @property
    def key(self) -> tuple[Dimension, str, bool] | None:
        """What stays the same when the order changes."""
        return None if self.entry is None else (self.dimension, self.entry.name, self.entry.rest)


class ActivityColumns(msgspec.Struct, frozen=True):
    """Cells of each column, 0 for one that there is no room for.

    A name never has fewer in a wider panel. The marks before it take four more: of these the severity of a source is
    the worst of the time that the longest sparkline covers (`SPARK_BUCKETS`), so that it goes by itself afterwards.
    """

    name: int
    count: int = _COUNT_CELLS
    share: int = 0
    rate: int = 0
    spark: int = 0

    @classmethod
    def of(cls, width: int) -> ActivityColumns:
        """What fits a panel of `width` cells: names, then a minute of sparkline, then two with the rate, the share."""
        room = max(0, width - _MARK_CELLS - 1 - _COUNT_CELLS)
        short, usual, longest = _NAME_CELLS
        if room < short + 1 + _MINUTE_CELLS:
            name = min(room, short)
            return cls(name, count=_COUNT_CELLS + room - name)
        with_rate = usual + 1 + _RATE_CELLS + 1 + 2 * _MINUTE_CELLS
        rate = _RATE_CELLS if room >= with_rate else 0
        share = _SHARE_CELLS if room >= with_rate + 1 + _SHARE_CELLS else 0
        room -= sum(cells + 1 for cells in (share, rate) if cells) + 1
        spark = 2 * _MINUTE_CELLS if rate else _MINUTE_CELLS
        spark = min(SPARK_BUCKETS, room - min(longest if share else usual, room - spark))
        return cls(room - spark, share=share, rate=rate, spark=spark)


def lines_of(kinds: Sequence[Entry], sources: Sequence[Entry]) -> list[ActivityLine]:
    """The two sections."""
    return [
        ActivityLine("kind"),
        *(ActivityLine("kind", entry) for entry in kinds),
        ActivityLine("source"),
        *(ActivityLine("source", entry) for entry in sources),
    ]


def in_order_of(lines: Sequence[ActivityLine], dimension: Dimension, entries: Sequence[Entry]) -> list[Entry]:
    """The entries in the places that they have in `lines`, without those that are not there, unless nothing is."""
    new = {(entry.name, entry.rest): entry for entry in entries}
    shown = [line.entry for line in lines if line.dimension == dimension and line.entry is not None]
    return [new.get((entry.name, entry.rest), entry) for entry in shown] or list(entries)


def nearest_entry(lines: Sequence[ActivityLine], index: int, direction: int) -> int:
    """The entry at this line or the next in the direction, else in the other; a header if there is no entry."""
    last = len(lines) - 1
    index = max(0, min(index, last))
    down, up = range(index, last + 1), range(index, -1, -1)
    ahead, behind = (down, up) if direction > 0 else (up, down)
    return next((at for at in (*ahead, *behind) if lines[at].entry is not None), index)


def header_text(dimension: Dimension, lines: Sequence[ActivityLine], chosen: int, layout: ActivityColumns) -> str:
    """`Sources 27 · 2 silent · 1 chosen` and what the columns are; `2,000+` are not all that there were."""
    entries = [line.entry for line in lines if line.entry is not None and line.dimension == dimension]
    silent = sum(entry.silent_for_s is not None for entry in entries)
    named = sum(not entry.rest for entry in entries)
    more = "+" if named < len(entries) else ""
    title = f"{'Kinds' if dimension == 'kind' else 'Sources'} {short_count(named)}{more}"
    if silent:
        title += f" · {silent} silent"
    if chosen:
        title += f" · {chosen} chosen"
    columns = [f"{'count':>{layout.count}}"]
    if layout.share:
        columns.append(f"{'%':>{layout.share}}")
    if layout.rate:
        columns.append(f"{'rate':>{layout.rate}}")
    if layout.spark:
        span = duration(layout.spark * SPARK_BUCKET_S)
        columns.append(fit(f"last {span}" if len(f"last {span}") <= layout.spark else span, layout.spark))
    room = _MARK_CELLS + layout.name
    while len(title) > room and len(columns) > 1:  # what is silent matters more than what a column is called
        room += 1 + len(columns.pop(0))
    return f"{fit(title, room)} {' '.join(columns)}"


def entry_parts(
    entry: Entry, layout: ActivityColumns, *, cursor: bool, chosen: bool, excluded: bool = False
) -> tuple[str, str, str]:
    """The marks, the name, and the numbers with the sparkline, of an entry.

    The severity among the marks is that of `Entry`: a source's goes when what it came from has left the sparkline.
    """
    choice = "-" if excluded else "✓" if chosen else " "
    marks = f"{'›' if cursor else ' '}{choice}{SEVERITY_MARKS[entry.severity][0]} "
    name = _fit_name("all others" if entry.rest else safe(entry.name) or '""', layout.name)
    columns = [f"{short_count(entry.total):>{layout.count}}"]
    if layout.share:
        columns.append(f"{share_text(entry.share):>{layout.share}}")
    if layout.rate:
        columns.append(f"{rate_text(entry.rate_per_s):>{layout.rate}}")
    if layout.spark:
        columns.append(spark_text(entry.spark, layout.spark))
    if entry.silent_for_s is not None:
        columns = _silent(f"silent {duration(entry.silent_for_s)}", columns)
    return marks, name, f" {' '.join(columns)}"


def _silent(said: str, columns: list[str]) -> list[str]:
    """The columns with this in place of as many of the last as it needs: the rate is none, the sparkline is empty."""
    for first in range(len(columns) - 1, -1, -1):
        room = len(" ".join(columns[first:]))
        if room >= len(said):
            return [*columns[:first], said.rjust(room)]
    return ["silent".rjust(len(" ".join(columns)))]


def _fit_name(name: str, width: int) -> str:
    """Cut in the middle: `tool_invocation_allowed` and `tool_invocation_denied` differ at their ends."""
    if len(name) <= width or width < 5 or not name.isascii():
        return fit(name, width)
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[-end:]}"


def share_text(share: float) -> str:
    """`12%`; never `0%` of something nor `100%` of less than everything."""
    if 0 < share < 0.01:
        return "<1%"
    return f"{int(share * 100 + 1e-9)}%"


def rate_text(rate_per_s: float) -> str:
    """At most six cells: `4.9k/s`, `12/s`, `0.3/s`, `4/min`, and nothing for nothing."""
    if rate_per_s <= 0:
        return ""
    if rate_per_s >= 1_000:
        thousands = rate_per_s / 1_000
        return f"{thousands:.1f}k/s" if thousands < 9.95 else f"{min(999, int(thousands))}k/s"
    if rate_per_s >= 9.95:
        return f"{int(rate_per_s)}/s"
    if rate_per_s >= 0.2:
        return f"{rate_per_s:.1f}/s"
    return f"{max(1, round(rate_per_s * 60))}/min"


def spark_text(spark: Sequence[int], width: int) -> str:
    """The last `width` counts as bars up to the highest of them; blank for none, and nothing is lower than one dot."""
    shown = spark[-width:] if width else ()
    top = max(shown, default=0)
    bars = (_BARS[(count * len(_BARS) - 1) // top] if count else " " for count in shown)
    return "".join(bars).rjust(width)
