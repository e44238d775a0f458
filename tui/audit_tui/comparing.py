"""Whether the log still holds what this and earlier sessions saw, what exactly it lost, and what the next compares."""

from __future__ import annotations

from collections.abc import Callable

from audit_stream.chain import Head, Verdict
from audit_tui.clock import Clock
from audit_tui.cut_search import settled
from audit_tui.intake import Intake
from audit_tui.log import Log, is_address
from audit_tui.model.cuts import Cut, Cuts
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.rows import Check

__all__ = ["Comparing"]

_HASH_CHARACTERS = 64


class Comparing:
    """Compares a log with what was seen of it. `remember` keeps a head for later sessions to compare with.

    Belongs to the event loop's thread. All methods that read raise ClientError.
    """

    def __init__(
        self, log: Log, intake: Intake, *, remember: Callable[[Head], None], on_change: Callable[[], None], clock: Clock
    ) -> None:
        self.cuts = Cuts()
        self.remember = remember
        self._log = log
        self._intake = intake
        self._integrity = intake.integrity
        self._on_change = on_change
        self._clock = clock
        self._remembered: tuple[int, str] | None = None
        self._remembered_s: float | None = None

    # What the log holds

    async def holds(self, head: Head) -> bool:
        """Whether the log has this event, as far as it says: whether its bytes fit as well is a break, no cut."""
        served = await self._log.event(head.event_id)
        found = None if served is None else self._intake.read_checked(served)
        return found is not None and (found.event_id, found.hash) == (head.event_id, head.hash)

    async def compare_heads(self) -> None:
        """Look up the heads that earlier sessions saw, from the newest to the first that is there."""
        differing: list[tuple[Head, Head | None]] = []
        for known in self._intake.known_heads:
            served = await self._log.event(known.event_id)
            found = None if served is None else self._intake.read_checked(served)
            if found is not None and found.hash == known.hash:
                break  # and so is all before it
            differing.append((known, None if found is None else Head(known.event_id, found.hash)))
        for remembered, there in dict.fromkeys(differing[:1] + differing[-1:]):  # the newest, and the earliest
            self._intake.differs(remembered, there)
        if differing and not self.cuts.covers(differing[0][0]):  # of a session before this: there are no copies
            newest, now = differing[0][0], (await self._log.stats()).head
            self.cuts.add(Cut(before=newest, now=now, found_ms=self._clock.now_ms()))
            await self.settle_cuts()

    # What it lost

    def lost(self, seen: Head, head: Head) -> None:
        """The log, whose head is `head`, no longer holds `seen`: what was received is kept as evidence."""
        intake = self._intake
        if intake.ring.head.event_id >= seen.event_id:
            seen = intake.ring.head
        intake.differs(seen, None if head.event_id < seen.event_id else head)
        intake.notices.append(f"the log no longer holds event #{seen.event_id}: it was cut or rewritten")
        if self._may_remember and len(seen.hash) == _HASH_CHARACTERS:
            self.remember(seen)  # or the next session would not know of it
        self.cuts.add(intake.hand_over(seen, head))
        intake.comparison_wanted.set()

    async def settle_cuts(self) -> None:
        """Look up what exactly is gone."""
        intake = self._intake
        for cut in self.cuts.unsettled:
            now_ms = self._clock.now_ms()
            found = await settled(self._log, cut, intake.known, self.holds, intake.read_silently, now_ms)
            self.cuts.replace(cut, found)
            if found.returned_ms is None and found.gone:
                first_id = found.gone[0][0]
                first = next((row.hash for row in found.rows[:1] if row.event_id == first_id), "")
                self._integrity.cut_found(found, first, now_ms=self._clock.now_ms(), now_s=self._clock.now_s())
                intake.notices.append(f"{found.summary}{': copies in b' if found.rows else ''}")
            if found.there is not None and found.there.event_id and self._may_remember:
                self.remember(found.there)
            self._on_change()

    def note_returned(self) -> None:
        """Tell of what was gone and has been received again."""
        ring = self._intake.ring
        for cut in self.cuts.all:
            if cut.settled and cut.returned_ms is None and ring.hash_of(cut.before.event_id) == cut.before.hash:
                self.cuts.returned(cut, self._clock.now_ms())

    # What later sessions compare with

    def remember_newest(self, *, every_s: float = 0.0) -> None:
        """Keep the newest event's id and hash for later sessions.

        By the heads of verdicts alone, what came after the last one could be cut off unnoticed while no console looks.
        """
        newest, now_s = self._intake.ring.newest, self._clock.now_s()
        if newest is None or newest.check is Check.BROKEN or self._remembered == (newest.event_id, newest.hash):
            return
        if every_s and self._remembered_s is not None and now_s - self._remembered_s < every_s:
            return
        if self._is_doubtful or not self._may_remember:
            return
        self._remembered, self._remembered_s = (newest.event_id, newest.hash), now_s
        self.remember(self._intake.ring.head)

    def remember_verified(self, verdict: Verdict) -> None:
        """Keep the head of a verdict, if it is what was seen here."""
        if self._is_doubtful or isinstance(verdict, PartVerdict):  # another part would seem to have lost events
            return
        head, seen = verdict.head, self._intake.hash_of_seen
        if verdict.valid and head is not None and head.event_id and seen(head.event_id) == head.hash:
            self.remember(head)

    def forget(self) -> None:
        """A person has accepted the history that there is now: nothing is held against it."""
        self._intake.known = {}
        self._remembered = None
        self._integrity.compared()
        self._integrity.accept(self._clock.now_s())

    @property
    def _is_doubtful(self) -> bool:
        """A person has to accept this history first: its heads must not stand among those of the other."""
        return self._integrity.is_rewritten or bool(self._integrity.uncompared)

    @property
    def _may_remember(self) -> bool:
        """A part of a log has no head; whether an export is one only its verdict tells."""
        verdict = self._integrity.last_verdict
        return is_address(self._log.url) or (verdict is not None and not isinstance(verdict, PartVerdict))
