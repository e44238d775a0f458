"""The last events that came in, in order, each checked as it came."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

from audit_stream.chain import GENESIS, Head
from audit_tui.model.hash_history import HashHistory
from audit_tui.model.rows import Check, Row, check_after

__all__ = ["MAX_BYTES", "MAX_ROWS", "Ring"]

MAX_ROWS = 50_000
MAX_BYTES = 32 << 20
"""Of events as they were received: 50,000 usual ones take 25 MB, 50,000 of the largest would take 3 GB."""


class Ring:
    """Bounded by rows and bytes; the oldest go first. `received` counts what came in since `clear`."""

    def __init__(self, *, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> None:
        self.rows: deque[Row] = deque()
        self.received = 0
        self.linked_from = 0
        self._hashes = HashHistory()
        self._bytes = 0
        self._max_rows = max_rows
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def newest(self) -> Row | None:
        """The last event that came in."""
        return self.rows[-1] if self.rows else None

    @property
    def head(self) -> Head:
        """Its id and hash."""
        return Head(self.rows[-1].event_id, self.rows[-1].hash) if self.rows else GENESIS

    def add(self, row: Row) -> bool:
        """Check a row against the one before it and keep it; False for one that is there already.

        `linked_from` becomes its id when its link cannot be seen to hold: everything from there on does.
        """
        newest = self.newest
        if newest is not None and row.event_id <= newest.event_id:
            return False
        check_after(newest, row)
        if row.check is not Check.LINKED or not self.linked_from:
            self.linked_from = row.event_id
        self.rows.append(row)
        self.received += 1
        self._bytes += len(row.raw)
        while len(self.rows) > self._max_rows or (self._bytes > self._max_bytes and len(self.rows) > 1):
            oldest = self.rows.popleft()
            self._hashes.add(oldest.event_id, oldest.hash)
            self._bytes -= len(oldest.raw)
        return True

    def hash_of(self, event_id: int) -> str | None:
        """The hash with which an event came in, also some time after its row has gone from here."""
        if not self.rows or event_id > self.rows[-1].event_id:  # as for each event that comes in
            return None
        row = self.find(event_id)
        return self._hashes.find(event_id) if row is None else row.hash

    def find(self, event_id: int) -> Row | None:
        """The row of this id, None when it is not, or no longer, here."""
        index = self.index_after(event_id - 1)
        if index < len(self.rows) and self.rows[index].event_id == event_id:
            return self.rows[index]
        return None

    def index_after(self, event_id: int) -> int:
        """The index of the first row after this id; the number of rows when there is none."""
        if not self.rows or event_id < self.rows[0].event_id:
            return 0
        guess = event_id - self.rows[0].event_id + 1  # right when no id is missing
        if guess <= len(self.rows) and self.rows[guess - 1].event_id == event_id:
            return guess
        return bisect_left(self.rows, event_id + 1, key=lambda row: row.event_id)

    def after(self, event_id: int, limit: int) -> list[Row] | None:
        """The rows after this id, at most `limit`; None when some of them may be gone from here."""
        if not self.rows or event_id + 1 < self.rows[0].event_id:
            return None
        start = self.index_after(event_id)
        return [self.rows[index] for index in range(start, min(start + limit, len(self.rows)))]

    def before(self, event_id: int, limit: int) -> list[Row]:
        """The rows before this id, the last `limit` of them."""
        end = self.index_after(event_id - 1)
        return [self.rows[index] for index in range(max(0, end - limit), end)]

    def part_with(self) -> tuple[tuple[Row, ...], HashHistory]:
        """Begin anew, and hand over the rows, and the hashes of those before, of a history that the log lost."""
        rows, hashes = tuple(self.rows), self._hashes
        self.rows.clear()
        self._hashes = HashHistory()
        self.received = self._bytes = self.linked_from = 0
        return rows, hashes
