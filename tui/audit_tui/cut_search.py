"""What exactly a log no longer holds of what this console knows."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from audit_stream.chain import GENESIS, Head
from audit_stream.client import RawEvent
from audit_tui.log import Log
from audit_tui.model.cuts import Cut, ranges
from audit_tui.model.rows import Row

__all__ = ["settled"]

_PAGE = 500

Holds = Callable[[Head], Awaitable[bool]]


async def settled(
    log: Log, cut: Cut, known: Mapping[int, str], holds: Holds, read: Callable[[RawEvent], Row | None], now_ms: int
) -> Cut:
    """The cut with its extent: some 17 questions for where it begins, and a page for each 500 events that came after.

    An event's hash fixes all before it, so the first that is not there is found by halving; but where the log has lost
    some of its middle as well that misleads, so what the log holds after that place is compared one by one. `known` has
    the hashes that earlier sessions remember. Raises ClientError.
    """
    rows = cut.rows
    hashes = range(0) if cut.hashes is None else cut.hashes.ids
    ids = sorted({*known, *hashes, *(row.event_id for row in rows)})

    def remembered(event_id: int) -> Head:
        row = _row(rows, event_id)
        hash_ = row.hash if row is not None else None if cut.hashes is None else cut.hashes.find(event_id)
        return Head(event_id, hash_ or known[event_id])

    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if await holds(remembered(ids[middle])):
            low = middle + 1
        else:
            high = middle
    there = remembered(ids[low - 1]) if low else GENESIS if ids[:1] == [1] or cut.now.event_id == 0 else None
    first = 1 if there is None else there.event_id + 1
    missing = {event_id: remembered(event_id).hash for event_id in ids[low:]}
    await _take_out_survivors(log, missing, read)
    if cut.before.event_id not in missing:  # it has come back, or an answer was damaged and nothing ever was gone
        return msgspec.structs.replace(cut, settled=True, rows=(), hashes=None, arrivals=None, returned_ms=now_ms)
    gone = ranges(missing, (max(first, cut.now.event_id + 1), cut.before.event_id))
    rows = tuple(row for row in rows if row.event_id in missing)
    span = (None, None) if cut.arrivals is None or not rows else cut.arrivals.span(rows[0].event_id, rows[-1].event_id)
    survivors = len(ids) - low - len(missing)
    count = sum(last - first + 1 for first, last in gone)
    return msgspec.structs.replace(
        cut,
        settled=True,
        there=there,
        gone=gone,
        is_exact=there is not None and count + survivors == cut.before.event_id - there.event_id,
        rows=rows,
        hashes=None,
        arrivals=None,
        received=span,
    )


async def _take_out_survivors(log: Log, missing: dict[int, str], read: Callable[[RawEvent], Row | None]) -> None:
    """Drop from `missing` what the log does hold, of ids with hashes."""
    if not missing:
        return
    last = max(missing)
    place: int | None = min(missing) - 1
    while place is not None and missing:
        reached = None
        async with contextlib.aclosing(log.events(since_id=place, limit=_PAGE)) as found:
            async for served in found:
                row = read(served)
                if row is None:
                    continue
                reached = row.event_id
                if missing.get(row.event_id) == row.hash:
                    del missing[row.event_id]
        place = reached if reached is not None and place < reached < last else None


def _row(rows: Sequence[Row], event_id: int) -> Row | None:
    index = bisect_left(rows, event_id, key=lambda row: row.event_id)
    return rows[index] if index < len(rows) and rows[index].event_id == event_id else None
