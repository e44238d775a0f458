"""Events that this console knows of and the log no longer holds: what is gone, what brackets it, and the copies here.

The copies are the evidence. They stay outside the table's window, because the log may since hold other events under
their ids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from audit_stream.chain import Head
from audit_stream.display import counted
from audit_tui.model.hash_history import HashHistory
from audit_tui.model.ring import MAX_BYTES, MAX_ROWS
from audit_tui.model.rows import Row

__all__ = ["Arrivals", "Cut", "Cuts", "ranges"]

_MAX_CUTS = 16
_MAX_RANGES = 3
"""Named in a sentence; an event taken out here and there makes many."""
_MARK_EVERY_MS = 5_000
_MAX_MARKS = 720


class Arrivals:
    """When events came, to a few seconds, without a time an event; what is long ago is only known to be that."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MAX_MARKS)
        self._begun_ms = 0

    def note(self, event_id: int, now_ms: int) -> None:
        """Everything up to this event has come by now."""
        if not self._marks or abs(now_ms - self._begun_ms) >= _MARK_EVERY_MS:
            self._marks.append((event_id, now_ms))
            self._begun_ms = now_ms
        else:  # what comes within a few seconds is one mark
            self._marks[-1] = event_id, now_ms

    def span(self, first: int, last: int) -> tuple[int | None, int | None]:
        """After which time the first came and by which the last; None where that is not known."""
        after = next((at for event_id, at in reversed(self._marks) if event_id < first), None)
        by = next((at for event_id, at in self._marks if event_id >= last), None)
        return after, by


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What was there and is not any more. Times in Unix milliseconds, None where they are not known.

    `before` is the newest event that was known, last known to be in the log at `seen_ms`; `now` is the head of the log
    when it was found, at `found_ms`, that it is not. Until the cut is `settled`, `gone` has what was certain at once,
    and `rows` all that was in memory. Then `there` is the last event before it that the log still holds (GENESIS for
    none at all, None where that is not known), and `rows` are the copies of exactly those that it does not hold. `gone`
    are ids, the first and last of each row of consecutive ones. The copies came in the span `received`. The log holds
    all of it again since `returned_ms`; the copies are in a file when it is `saved`.
    """

    before: Head
    now: Head
    found_ms: int
    seen_ms: int | None = None
    settled: bool = False
    there: Head | None = None
    gone: tuple[tuple[int, int], ...] = ()
    is_exact: bool = False
    rows: Sequence[Row] = ()
    hashes: HashHistory | None = None
    arrivals: Arrivals | None = None
    saved: bool = False
    received: tuple[int | None, int | None] = (None, None)
    returned_ms: int | None = None

    @property
    def count(self) -> int:
        """How many are known to be gone."""
        return sum(last - first + 1 for first, last in self.gone)

    @property
    def summary(self) -> str:
        """`40 events, #61 to #100, are gone`."""
        least = "" if self.is_exact else "at least "
        verb = "is" if self.count == 1 and self.is_exact else "are"
        if self.returned_ms is not None:
            verb = "was" if verb == "is" else "were"
        named = [f"#{first}" if first == last else f"#{first} to #{last}" for first, last in self.gone]
        more = len(named) - _MAX_RANGES
        ids = ", ".join([*named[:_MAX_RANGES], *([f"{more:,} more runs"] if more > 0 else [])])
        back = ", and there again" if self.returned_ms is not None else ""
        return f"{least}{counted(self.count, 'event')}, {ids}, {verb} gone{back}"

    def replaced(self, head_id: int) -> str:
        """Under which of their ids a log up to `head_id` holds others now; "" for none."""
        first = self.gone[0][0] if self.gone else self.before.event_id
        last = min(head_id, self.before.event_id)
        if last < first or self.returned_ms is not None:
            return ""
        return f"#{first}" if first == last else f"#{first} to #{last}"


class Cuts:
    """The cuts of one log, the newest last. Copies are bounded by what memory for events is bounded by."""

    def __init__(self, *, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> None:
        self.all: list[Cut] = []
        self.unkept = 0
        """Copies that there was no room for."""
        self.version = 0
        self._max_rows, self._max_bytes = max_rows, max_bytes

    @property
    def rows(self) -> list[Row]:
        """All copies, in the order in which they were missed, of what has not come back."""
        return [row for cut in self.all if cut.settled and cut.returned_ms is None for row in cut.rows]

    @property
    def unsettled(self) -> list[Cut]:
        """Those whose extent has not been looked up yet."""
        return [cut for cut in self.all if not cut.settled]

    def covers(self, head: Head) -> bool:
        """Whether it is known already that this event is gone."""
        return any(
            (cut.before == head or any(first <= head.event_id <= last for first, last in cut.gone))
            and cut.returned_ms is None
            for cut in self.all
        )

    def add(self, cut: Cut) -> None:
        """A new one; of too many the oldest without copies goes first."""
        self.all.append(cut)
        if len(self.all) > _MAX_CUTS:
            self.all.remove(min(self.all[:-1], key=lambda each: bool(each.rows)))
        self.version += 1

    def replace(self, before: Cut, after: Cut) -> None:
        """What was looked up of one. When there is no room for all copies, the newest of them stay."""
        if before not in self.all:
            return
        others = [cut for cut in self.all if cut is not before]
        room_rows = self._max_rows - sum(len(cut.rows) for cut in others)
        room_bytes = self._max_bytes - sum(len(row.raw) for cut in others for row in cut.rows)
        kept: deque[Row] = deque()
        for row in reversed(after.rows):
            room_bytes -= len(row.raw)
            if len(kept) >= room_rows or room_bytes < 0:
                break
            kept.appendleft(row)
        self.unkept += len(after.rows) - len(kept)
        self.all[self.all.index(before)] = msgspec.structs.replace(after, rows=tuple(kept))
        self.version += 1

    @property
    def unsaved(self) -> int:
        """Copies that are in no file."""
        return sum(len(cut.rows) for cut in self.all if cut.settled and not cut.saved and cut.returned_ms is None)

    def saved(self, cut: Cut) -> None:
        """Its copies have been written to a file."""
        if cut in self.all:
            self.all[self.all.index(cut)] = msgspec.structs.replace(cut, saved=True)
            self.version += 1

    def returned(self, cut: Cut, now_ms: int) -> None:
        """The log holds all of it again."""
        if cut in self.all:
            self.all[self.all.index(cut)] = msgspec.structs.replace(cut, returned_ms=now_ms)
            self.version += 1


def ranges(ids: Iterable[int], above: tuple[int, int] | None = None) -> tuple[tuple[int, int], ...]:
    """Ids, and all from `above[0]` to `above[1]`, as first and last of each row of consecutive ones."""
    spans = [(each, each) for each in sorted(set(ids))]
    if above is not None and above[0] <= above[1]:
        spans = [span for span in spans if not above[0] <= span[0] <= above[1]]
        spans = sorted([*spans, above])
    if not spans:
        return ()
    starts = [spans[0][0], *(after[0] for before, after in pairwise(spans) if after[0] > before[1] + 1)]
    ends = [*(before[1] for before, after in pairwise(spans) if after[0] > before[1] + 1), spans[-1][1]]
    return tuple(zip(starts, ends, strict=True))
