"""The rows that the table shows: a window on the log under a filter, that follows the live end or stays where it is.

    older parts ─prepend─▶ [ low … items … high ] ◀─append─ newer parts, while detached
                                                  ◀─grow─── live rows, while attached

The window has dealt with every event from `low` to `high`: it holds those that pass, and a gap for those that were not
received. It grows only by what adjoins one of its ends and was read for it, and refuses everything else. So no event
can come twice, out of order or be left out, in whatever order memory, the log and the stream answer.

It is bounded: what is added at one end pushes items out at the other. It is *attached* while it reaches the live end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from audit_stream.kinds import Severity
from audit_tui.model.part import Item, Part, first_id, last_id, of_memory
from audit_tui.model.passing import Passes, everything
from audit_tui.model.ring import MAX_BYTES, MAX_ROWS, Ring
from audit_tui.model.rows import Check, Gap, Row, check_after

__all__ = ["Item", "View"]

_HISTORY_ROWS = 20_000
_HISTORY_BYTES = 16 << 20
"""Of a window that holds rows which the ring does not: they cost memory of their own. It is bounded by bytes as well as
by rows, as the ring is: 50,000 usual events take 25 MB, as many of the largest would take 3 GB."""

_SLICE_ROWS = 500
"""Of the ring that are looked through at a time, so that keys are answered meanwhile."""


class View:
    """The window. `first` is the absolute index of the first item: it grows as items leave at the older end.

    `live` is the last event that came in, 0 before the first. `filter_text` is the filter as it was typed, `query` the
    same with its relative times resolved, which a daemon is asked by, so that the history and what comes in go by one
    meaning. `waiting` is how many passed since `pause`, `worst` the worst among them, `missed` how many came in between
    that were not received. `halted`: nobody wants it to grow by itself any further. `on_broken` is told of each row of
    the history that does not hold, with the one before it.
    """

    def __init__(
        self,
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        history_rows: int = _HISTORY_ROWS,
        history_bytes: int = _HISTORY_BYTES,
        slice_rows: int = _SLICE_ROWS,
        on_broken: Callable[[Row, Row | None], None] = lambda row, before: None,
    ) -> None:
        self.items: deque[Item] = deque()
        self.first = 0
        self.low, self.high, self.live = 1, 0, 0
        self.following = True
        self.halted = False
        self.waiting = 0
        self.missed = 0
        self.worst = Severity.INFO
        self.passes: Passes = everything
        self.filtered = False
        self.filter_text = ""
        self.query = ""
        self.version = 0
        self.beginning = 0  # counts how often the window was begun anew: what was read for an earlier one is refused
        self._on_broken = on_broken
        self._rows = 0
        self._bytes = 0
        self._missing = 0  # events in gaps
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._history_rows, self._history_bytes = history_rows, history_bytes
        self._slice_rows = slice_rows

    @property
    def attached(self) -> bool:
        """Whether it reaches the live end."""
        return self.high >= self.live

    @property
    def at_start(self) -> bool:
        """Whether there is nothing before it."""
        return self.low <= 1

    @property
    def is_full(self) -> bool:
        """Whether one more event pushes another one out."""
        return len(self.items) >= self._max_rows or self._bytes >= self._max_bytes

    @property
    def row_count(self) -> int:
        """How many events it holds."""
        return self._rows

    @property
    def looked_at(self) -> int:
        """How many events the filter has been put to: those from `low` to `high` but for the gaps."""
        return max(0, self.high - self.low + 1) - self._missing

    @property
    def oldest(self) -> Row | None:
        """The first event in the window."""
        return next((item for item in self.items if isinstance(item, Row)), None)

    @property
    def newest(self) -> Row | None:
        """The last event in the window."""
        return next((item for item in reversed(self.items) if isinstance(item, Row)), None)

    def index_of(self, event_id: int) -> int | None:
        """Where an event, or the first one after it, stands in the window; None when it is beyond its end."""
        return next((index for index, item in enumerate(self.items) if last_id(item) >= event_id), None)

    def pause(self) -> None:
        """Stay at what is shown."""
        if self.following:
            self.following = False
            self._forget_waiting()

    def resume(self) -> None:
        """Follow the live end again, of a window that is attached to it."""
        self.following = True
        self._forget_waiting()
        self._trim_older(self._max_rows, self._max_bytes)
        self.version += 1

    # Beginning anew

    def filter_by(self, ring: Ring, passes: Passes, *, text: str = "", query: str = "", filtered: bool = True) -> None:
        """Another filter, from the live end on."""
        self.passes, self.filtered = passes, filtered
        self.filter_text, self.query = text, query
        self.begin(ring)

    def begin(self, ring: Ring) -> None:
        """Follow the live end, with nothing of it looked at yet: `look_back` does that."""
        self._empty()
        self.following = True
        self.live = self.high = ring.head.event_id
        self.low = self.high + 1

    def show(self, *parts: Part) -> bool:
        """Show just these, which follow on each other, somewhere in the history, paused; False when refused."""
        adjoin = all(before.high + 1 == after.low for before, after in pairwise(parts))
        if not adjoin or any(part.beginning != self.beginning for part in parts) or parts[-1].high > self.live:
            return False
        self._empty()
        self.following = False
        self.low, self.high = parts[0].low, parts[0].low - 1
        for part in parts:
            self._take_in(part)
            self.high = part.high
        return True

    # Growing

    def grow(self, rows: Iterable[Row]) -> None:
        """Take in what has just come, all of it. What was missed before a row is a gap, whatever the filter."""
        for row in rows:
            event_id = row.event_id
            if not self.live:
                self.low, self.high, self.live = event_id, event_id - 1, event_id - 1
            was, self.live = self.live, event_id
            passes = self.passes(row)
            if self.high == was and (self.following or not passes or not self.is_full):
                if event_id > was + 1 and not (self.filtered and row.follows):
                    self._put_last(Gap(was + 1, event_id - 1, row.follows))
                if passes:
                    self._put_last(row)
                self.high = event_id
            if not self.following:
                self.missed += 0 if row.follows else event_id - was - 1
                if passes:
                    self.waiting += 1
                    self.worst = max(self.worst, row.severity)
        if self.following:
            self._trim_older(self._max_rows, self._max_bytes)
        self.version += 1

    def look_back(self, ring: Ring) -> bool:
        """Take in a slice of what memory holds before the window; False when it holds nothing there."""
        held = ring.before(self.low, self._slice_rows)
        if not held or (self.following and self.is_full):
            return False
        low, high = held[0].event_id, self.low - 1
        return self.prepend(of_memory(self.beginning, low, high, held, self.passes, filtered=self.filtered))

    def look_on(self, ring: Ring) -> bool:
        """Take in a slice of what memory holds after the window; False when it does not hold all of that."""
        held = ring.after(self.high, self._slice_rows)
        if not held:
            return False
        low, high = self.high + 1, held[-1].event_id
        return self.append(of_memory(self.beginning, low, high, held, self.passes, filtered=self.filtered))

    def prepend(self, part: Part) -> bool:
        """Take in an older part; False when it was not read for this window, or does not adjoin it."""
        if part.beginning != self.beginning or part.high != self.low - 1 or part.low > self.low:
            return False
        self._check(None, part.items, self.items[0] if self.items else None)
        self.items.extendleft(reversed(part.items))
        for item in part.items:
            self._count(item, 1)
        self.first -= len(part.items)
        self.low = part.low
        if self.following:
            self._trim_older(self._max_rows, self._max_bytes)
        else:
            self._trim_newer(*self._room_for(part))
        self.version += 1
        return True

    def append(self, part: Part) -> bool:
        """Take in a newer part; False when it was not read for this window, or does not adjoin it."""
        if part.beginning != self.beginning or part.low != self.high + 1 or not self.high <= part.high <= self.live:
            return False
        self._take_in(part)
        self.high = part.high
        self._trim_older(*self._room_for(part))
        return True

    def fill(self, gap: Gap, part: Part) -> bool:
        """Put what was read where a gap was; what lies after it stays one. False when refused, as by `prepend`."""
        if part.beginning != self.beginning or part.low != gap.first or not gap.first <= part.high <= gap.last:
            return False
        try:
            index = self.items.index(gap)
        except ValueError:
            return False
        items = list(self.items)
        before, after = items[:index], items[index + 1 :]
        rest = [Gap(part.high + 1, gap.last)] if part.high < gap.last else []
        self._check(before[-1] if before else None, part.items, (rest + after)[0] if rest or after else None)
        self._count(gap, -1)
        for item in (*part.items, *rest):
            self._count(item, 1)
        self.items = deque([*before, *part.items, *rest, *after])
        self.version += 1
        return True

    def _empty(self) -> None:
        self.beginning += 1
        self.version += 1
        self.items.clear()
        self._rows = self._bytes = self._missing = 0
        self.first = 0
        self.halted = False
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        self.waiting, self.missed, self.worst = 0, 0, Severity.INFO

    def _take_in(self, part: Part) -> None:
        """After what is there."""
        self._check(self.items[-1] if self.items else None, part.items, None)
        for item in part.items:
            self._put_last(item)
        self.version += 1

    def _put_last(self, item: Item) -> None:
        self.items.append(item)
        self._count(item, 1)

    def _count(self, item: Item, sign: int) -> None:
        if isinstance(item, Row):
            self._rows += sign
            self._bytes += sign * len(item.raw)
        else:
            self._missing += sign * item.count

    def _room_for(self, part: Part) -> tuple[int, int]:
        held, other = (self._max_rows, self._max_bytes), (self._history_rows, self._history_bytes)
        return held if part.held else other

    def _trim_older(self, max_rows: int, max_bytes: int) -> None:
        while len(self.items) > max_rows or (self._bytes > max_bytes and len(self.items) > 1):
            item = self.items.popleft()
            self._count(item, -1)
            self.first += 1
            self.low = last_id(item) + 1

    def _trim_newer(self, max_rows: int, max_bytes: int) -> None:
        while len(self.items) > max_rows or (self._bytes > max_bytes and len(self.items) > 1):
            item = self.items.pop()
            self._count(item, -1)
            self.high = first_id(item) - 1

    def _check(self, before: Item | None, items: Sequence[Item], after: Item | None) -> None:
        """Check the rows that were not, and those whose link can be seen only now, each against the one before it."""
        for item in (*items, after):
            known = before if isinstance(before, Row) else None
            if isinstance(item, Row) and (
                item.check is Check.NOT_CHECKED
                or (item.check is Check.GAP and known is not None and known.event_id == item.event_id - 1)
            ):
                self._check_link(known, item)
            before = item

    def _check_link(self, before: Row | None, row: Row) -> None:
        check_after(before, row)
        if row.check is Check.BROKEN:
            self._on_broken(row, before)
