"""A range of the log, whole: what a window takes in at one of its ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from audit_tui.model.passing import Passes
from audit_tui.model.rows import Gap, Row

__all__ = ["Item", "Part", "first_id", "last_id", "of_log", "of_memory", "within"]

Item = Row | Gap


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """All that passes of the events `low` to `high`, both included; `high` is `low - 1` when that is no event.

    `items` are strictly ascending and lie within; a gap stands for events of which nothing is known. `beginning` is
    that of the window for which it was read (`View.beginning`). `held`: its rows are in the ring, and cost no memory.
    """

    beginning: int
    low: int
    high: int
    items: Sequence[Item] = ()
    held: bool = False


def of_memory(
    beginning: int, low: int, high: int, rows: Sequence[Row], passes: Passes, *, filtered: bool = False
) -> Part:
    """What the ring holds of `low` to `high`; what it has not received is a gap, whatever the filter.

    Under a filter, what the log does not hold is none: nothing of it could pass.
    """
    if len(rows) == high - low + 1:
        items: list[Item] = [row for row in rows if passes(row)]
    else:
        holes = _with_holes(low, high, rows)
        items = [item for item in holes if (not (filtered and item.absent) if isinstance(item, Gap) else passes(item))]
    return Part(beginning=beginning, low=low, high=high, items=items, held=True)


def of_log(beginning: int, low: int, high: int, rows: Sequence[Row], *, filtered: bool) -> Part:
    """What the log gave of `low` to `high`, in ascending order; what lies elsewhere, or comes again, is left out.

    Without a filter, what it did not give is a gap, but for what would stand before its first event.
    """
    rows = within(low, high, rows)
    if filtered:
        return Part(beginning=beginning, low=low, high=high, items=rows)
    start = low if low > 1 else rows[0].event_id if rows else high + 1
    return Part(beginning=beginning, low=low, high=high, items=[*_with_holes(start, high, rows, absent=True)])


def within(low: int, high: int, rows: Iterable[Row]) -> list[Row]:
    """Those of events `low` to `high` that come after each one before them."""
    found: list[Row] = []
    for row in rows:
        if (found[-1].event_id if found else low - 1) < row.event_id <= high:
            found.append(row)
    return found


def first_id(item: Item) -> int:
    """The id of an event, or the first of a gap."""
    return item.event_id if isinstance(item, Row) else item.first


def last_id(item: Item) -> int:
    """The id of an event, or the last of a gap."""
    return item.event_id if isinstance(item, Row) else item.last


def _with_holes(low: int, high: int, rows: Sequence[Row], *, absent: bool = False) -> Iterator[Item]:
    for row in rows:
        if row.event_id > low:
            yield Gap(low, row.event_id - 1, absent or row.follows)
        yield row
        low = row.event_id + 1
    if low <= high:
        yield Gap(low, high, absent)
