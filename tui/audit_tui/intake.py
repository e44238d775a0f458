"""Each event that is read from the log is parsed, compared with what was seen under its id, and checked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from audit_stream.chain import Head
from audit_stream.client import RawEvent
from audit_stream.errors import ClientError
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry
from audit_tui.clock import Clock
from audit_tui.model.cuts import Arrivals, Cut, ranges
from audit_tui.model.integrity import Integrity
from audit_tui.model.ring import Ring
from audit_tui.model.rows import Check, Row, check_after, read_row
from audit_tui.model.verdicts import verifier_of

__all__ = ["Intake"]


class Intake:
    """What this console has seen of one log: the events in `ring`, and in `integrity` what does not hold of them.

    `known_heads` were remembered from earlier sessions. `comparison_wanted` is set when an event differs from what was
    seen under its id. Belongs to the event loop's thread.
    """

    def __init__(self, url: str, known_heads: Sequence[Head], *, verify_every_s: float, clock: Clock) -> None:
        self.kinds: KindRegistry = DEFAULT_KINDS
        self.ring = Ring()
        self.known = {head.event_id: head.hash for head in known_heads}
        """The hashes of those heads, by event id."""
        self.integrity = Integrity(self.hash_of_seen, verify_every_s=verify_every_s, verifier=verifier_of(url))
        self.notices: deque[str] = deque(maxlen=50)
        self.comparison_wanted = asyncio.Event()
        self.seen_ms: int | None = None
        """When the newest event was last known to be in the log."""
        self._arrivals = Arrivals()
        self._clock = clock

    def hash_of_seen(self, event_id: int) -> str | None:
        """The hash of an event that this console holds or remembers."""
        return self.ring.hash_of(event_id) or self.known.get(event_id)

    @property
    def known_heads(self) -> tuple[Head, ...]:
        """The heads that were remembered from earlier sessions, the newest first."""
        return tuple(Head(event_id, self.known[event_id]) for event_id in sorted(self.known, reverse=True))

    def add(self, served: Sequence[RawEvent], *, in_one_answer: bool = False) -> list[Row]:
        """Put events into the ring, and say what is wrong with them; returns those that are new."""
        new = []
        follows = False
        for each in served:
            row, before = self.read_again(each), self.ring.newest
            if row is None:
                follows = False  # what stood there was not read, but is in the log
                continue
            row.follows, follows = follows, in_one_answer
            if self.ring.add(row):
                new.append(row)
            else:  # it was here before: its bytes must hold all the same
                before = None
                check_after(None, row)
            if row.check is Check.BROKEN:
                self.found_broken(row, before)
        if new:
            self.seen_ms = self._clock.now_ms()
            self._arrivals.note(new[-1].event_id, self.seen_ms)
        return new

    def read(self, served: RawEvent) -> Row | None:
        """An event; None for bytes that are none, such as a damaged row of a file: that is said, and the rest shown."""
        try:
            return read_row(served, self.kinds)
        except ClientError as error:
            self.notices.append(str(error))
            return None

    def read_silently(self, served: RawEvent) -> Row | None:
        """An event; None for bytes that are none, of which nothing is said."""
        try:
            return read_row(served, self.kinds)
        except ClientError:
            return None

    def read_again(self, served: RawEvent) -> Row | None:
        """An event that may have been here before: it must be the same then. None for bytes that are no event."""
        row = self.read(served)
        if row is not None:
            self._compare(row)
        return row

    def read_checked(self, served: RawEvent) -> Row | None:
        """An event whose hash is to be compared with a remembered one: it says something only if it fits the bytes."""
        row = self.read(served)
        if row is not None:
            check_after(None, row)
            if row.check is Check.BROKEN:
                self.found_broken(row, None)
        return row

    def observe(self, row: Row, before: Row | None) -> None:
        """An event was read again and checked, by whatever screen: it must hold, and be what it was before."""
        self._compare(row)
        if row.check is Check.BROKEN:
            self.found_broken(row, before)

    def found_broken(self, row: Row, before: Row | None) -> None:
        """An event does not hold; `before` is the one before it, if that is known."""
        self.integrity.found_broken(row, before, now_ms=self._clock.now_ms(), now_s=self._clock.now_s())

    def differs(self, seen: Head, found: Head | None) -> None:
        """The log holds something else, or nothing, where an event was seen."""
        self.integrity.history_differs(seen, found, now_ms=self._clock.now_ms(), now_s=self._clock.now_s())

    def hand_over(self, before: Head, now: Head) -> Cut:
        """All that was received, as evidence: the log, whose head is `now`, no longer holds `before`."""
        rows, hashes = self.ring.part_with()
        arrivals, self._arrivals = self._arrivals, Arrivals()
        return Cut(
            before=before,
            now=now,
            found_ms=self._clock.now_ms(),
            seen_ms=self.seen_ms,
            gone=ranges([before.event_id], (now.event_id + 1, before.event_id)),
            rows=rows,
            hashes=hashes,
            arrivals=arrivals,
        )

    def _compare(self, row: Row) -> None:
        seen = self.hash_of_seen(row.event_id)
        if seen is not None and seen != row.hash:
            self.differs(Head(row.event_id, seen), Head(row.event_id, row.hash))
            self.comparison_wanted.set()
