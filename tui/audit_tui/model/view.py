"""The rows that the table shows: a window on the log under a filter, that follows the live end or stays where it is.

    older pages of the daemon ─prepend─▶ [ items ] ◀─grow─ live rows, while attached
                                                   ◀─append─ newer pages, while detached

The window is bounded. What is added at one end pushes rows out at the other; a window whose newer end was pushed out,
or that was full while the reader stayed, is *detached* from the live end until it reaches it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from audit_stream.kinds import Severity
from audit_tui.model.passing import Passes, everything
from audit_tui.model.ring import MAX_BYTES, MAX_ROWS, Ring
from audit_tui.model.rows import Check, Gap, Row, check_after

__all__ = ["Item", "View"]

Item = Row | Gap

_HISTORY_ROWS = 20_000
_HISTORY_BYTES = 16 << 20
"""Of a window that holds rows which the ring does not: they cost memory of their own. It is bounded by bytes as well as
by rows, as the ring is: 50,000 usual events take 25 MB, as many of the largest would take 3 GB."""

_SLICE_ROWS = 500


class View:
    """The window. `first` is the absolute index of the first item: it grows as items leave at the older end.

    `filter_text` is the filter as it was typed, `query` the same with its relative times resolved, which a daemon is
    asked by, so that the history and what comes in go by one meaning. `waiting` is how many passed since `pause`,
    `worst` the worst among them, `missed` how many came in between that were not received. `on_broken` is told of each
    row of the history that does not hold, with the one before it.
    """

    def __init__(
        self,
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        history_rows: int = _HISTORY_ROWS,
        history_bytes: int = _HISTORY_BYTES,
        on_broken: Callable[[Row, Row | None], None] = lambda row, before: None,
    ) -> None:
        self.items: deque[Item] = deque()
        self.first = 0
        self.following = True
        self.attached = True
        self.at_start = False
        self.waiting = 0
        self.missed = 0
        self.worst = Severity.INFO
        self.passes: Passes = everything
        self.filtered = False
        self.filter_text = ""
        self.query = ""
        self.version = 0
        self.beginning = 0  # counts how often the window was begun anew: a page that was on its way is not wanted then
        self._on_broken = on_broken
        self._passing: deque[int] = deque()  # ids in the ring that pass the filter
        self._came_up_to = 0  # the last id that `grow` was given, whether it passed or not
        self._rows = 0
        self._bytes = 0
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._history_rows, self._history_bytes = history_rows, history_bytes

    @property
    def oldest(self) -> Row | None:
        """The first event in the window."""
        return next((item for item in self.items if isinstance(item, Row)), None)

    @property
    def newest(self) -> Row | None:
        """The last event in the window."""
        return next((item for item in reversed(self.items) if isinstance(item, Row)), None)

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

    def grow(self, rows: Iterable[Row]) -> None:
        """Take in what has just come, all of it. What was missed before a row is a gap, whatever the filter."""
        for row in rows:
            missed = Gap(self._came_up_to + 1, row.event_id - 1) if self._came_up_to else None
            self._came_up_to = row.event_id
            if missed is not None and missed.count > 0:
                self.missed += 0 if self.following else missed.count
                if self.attached and self.filtered:
                    self.items.append(missed)
            if not self.passes(row):
                continue
            if self.filtered:
                self._passing.append(row.event_id)
            if not self.following:
                self.waiting += 1
                self.worst = max(self.worst, row.severity)
                if len(self.items) >= self._max_rows or self._bytes >= self._max_bytes:
                    self.attached = False
            if self.attached:
                self._put_last(row)
        self._note_start()
        if self.following:
            self._trim_older(self._max_rows, self._max_bytes)
        self.version += 1

    def refill(self, ring: Ring, passes: Passes | None = None, *, filtered: bool = False) -> Iterator[None]:
        """Show the live end, newest rows first; yields between slices so that keys are answered meanwhile.

        With `passes` the filter changes. Following begins anew.
        """
        if passes is not None:
            self.passes, self.filtered = passes, filtered
        self._reset()
        self._passing.clear()
        newest_first = list(reversed(ring.rows))
        came_after = self._came_up_to = ring.head.event_id
        for start in range(0, len(newest_first), _SLICE_ROWS):
            part = newest_first[start : start + _SLICE_ROWS]
            kept = []
            for row in part:
                if self.filtered and 0 < row.event_id < came_after - 1:
                    self.items.appendleft(Gap(row.event_id + 1, came_after - 1))
                    self.first -= 1
                came_after = row.event_id
                if self.passes(row):
                    kept.append(row)
                    self._put_first(row)
            if self.filtered:
                self._passing.extendleft(row.event_id for row in kept)
            self.version += 1
            yield
        if self.following:
            self._trim_older(self._max_rows, self._max_bytes)
        self._note_start()

    def show_page(self, rows: Sequence[Row]) -> None:
        """Show just these rows, somewhere in the history: paused and detached."""
        self._reset()
        self.following = self.attached = False
        self._check_page(None, rows)
        for row in rows:
            self._put_last(row)
        self._note_start()
        self.version += 1

    def prepend(self, rows: Sequence[Row], *, exhausted: bool) -> None:
        """Put an older page, oldest first, before the window. `exhausted`: there is nothing older."""
        self._check_page(None, rows)
        oldest = self.oldest
        if rows and oldest is not None and oldest.check is Check.GAP and not self.filtered:
            self._check(rows[-1], oldest)
        for row in reversed(rows):
            self._put_first(row)
        self.at_start = exhausted
        self._note_start()
        self._trim_newer()
        self.version += 1

    def append(self, rows: Sequence[Row], *, live: bool) -> None:
        """Put a newer page after a detached window. `live`: it reaches the live end."""
        self._check_page(self.newest, rows)
        for row in rows:
            self._put_last(row)
        self.attached = live
        self._trim_older(self._history_rows, self._history_bytes)
        self.version += 1

    def fill(self, gap: Gap, rows: Sequence[Row], *, exhausted: bool) -> None:
        """Put loaded events where a gap was; what is still missing stays a gap.

        `exhausted`: the log has no more there that pass. Without a filter what is missing then is `absent`.
        """
        try:
            index = self.items.index(gap)
        except ValueError:
            return
        items = list(self.items)
        before = items[index - 1] if index and isinstance(items[index - 1], Row) else None
        after = items[index + 1] if index + 1 < len(items) else None
        self._check_page(before if isinstance(before, Row) else None, rows)
        filled: list[Item] = list(rows)
        last = rows[-1].event_id if rows else gap.first - 1
        if rows and rows[0].event_id > gap.first and not self.filtered:
            filled.insert(0, Gap(gap.first, rows[0].event_id - 1, absent=True))
        if last < gap.last and not (self.filtered and exhausted):
            filled.append(Gap(last + 1, gap.last, absent=not rows))
        elif isinstance(after, Row) and after.check is Check.GAP and rows:
            self._check(rows[-1], after)
        self.items = deque([*items[:index], *filled, *items[index + 1 :]])
        self._rows += len(rows)
        self._bytes += sum(len(row.raw) for row in rows)
        self.version += 1

    @property
    def row_count(self) -> int:
        """How many events the window holds."""
        return self._rows

    def passing_count(self, ring: Ring) -> int:
        """How many of the events in the ring pass, as far as they have been looked through."""
        if not ring.rows:
            return 0
        since = ring.rows[0].event_id
        while self._passing and self._passing[0] < since:
            self._passing.popleft()
        return len(self._passing)

    def index_of(self, event_id: int) -> int | None:
        """Where an event, or the first one after it, stands in the window; None when it is beyond its end."""
        for index, item in enumerate(self.items):
            last = item.event_id if isinstance(item, Row) else item.last
            if last >= event_id:
                return index
        return None

    def _reset(self) -> None:
        self.beginning += 1
        self.items.clear()
        self._rows = self._bytes = 0
        self.first = 0
        self.following = self.attached = True
        self.at_start = False
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        self.waiting, self.missed, self.worst = 0, 0, Severity.INFO

    def _put_last(self, row: Row) -> None:
        if self.items and not self.filtered:
            last = self.items[-1]
            last_id = last.event_id if isinstance(last, Row) else last.last
            if row.event_id > last_id + 1:
                self.items.append(Gap(last_id + 1, row.event_id - 1))
        self.items.append(row)
        self._rows += 1
        self._bytes += len(row.raw)

    def _put_first(self, row: Row) -> None:
        if self.items and not self.filtered:
            first = self.items[0]
            first_id = first.event_id if isinstance(first, Row) else first.first
            if row.event_id < first_id - 1:
                self.items.appendleft(Gap(row.event_id + 1, first_id - 1))
                self.first -= 1
        self.items.appendleft(row)
        self._rows += 1
        self._bytes += len(row.raw)
        self.first -= 1

    def _trim_older(self, max_rows: int, max_bytes: int) -> None:
        while len(self.items) > max_rows or (self._bytes > max_bytes and len(self.items) > 1):
            self._dropped(self.items.popleft())
            self.first += 1
            self.at_start = False

    def _trim_newer(self) -> None:
        while len(self.items) > self._history_rows or (self._bytes > self._history_bytes and len(self.items) > 1):
            self._dropped(self.items.pop())
            self.attached = False

    def _dropped(self, item: Item) -> None:
        if isinstance(item, Row):
            self._rows -= 1
            self._bytes -= len(item.raw)

    def _note_start(self) -> None:
        if not self.filtered and self.items:
            first = self.items[0]
            self.at_start = self.at_start or (first.event_id if isinstance(first, Row) else first.first) <= 1

    def _check_page(self, before: Row | None, rows: Sequence[Row]) -> None:
        """Check rows that were read from the history, each against the one before it."""
        for row in rows:
            if row.check is not Check.LINKED:
                self._check(before, row)
            before = row

    def _check(self, before: Row | None, row: Row) -> None:
        check_after(before, row)
        if row.check is Check.BROKEN:
            self._on_broken(row, before)
