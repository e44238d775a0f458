"""One budget of memory for what is being received and what is being sent, whoever the peers are.

A body that is on its way in, a batch that is being decoded or waits for the disk, an answer that its reader does not
take: each holds a *reservation* of bytes. What would go beyond the limit is refused before it is read. A peer that has
stalled loses its room as soon as somebody else needs it, so stalled peers never keep others out.

Nothing is counted for what needs no memory of its own for longer than a moment: an event whose body comes in one
piece, an answer that the kernel takes as fast as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from audit_stream.errors import AuditStreamError

__all__ = ["Budget", "BudgetExceeded", "Reservation"]

_LOOKS_IN_VAIN = 64
"""Reservations in use that are looked at before giving up: ten thousand of them must not make a refusal slow."""


class BudgetExceeded(AuditStreamError):
    """There is no room for this now. Nothing has changed."""


class Reservation:
    """Some bytes of the budget, until `release`."""

    __slots__ = ("_budget", "_dismiss", "size_bytes", "stalled_from")

    def __init__(self, budget: Budget, dismiss: Callable[[], None], stalled_from: float) -> None:
        self._budget = budget
        self._dismiss = dismiss
        self.size_bytes = 0
        self.stalled_from = stalled_from
        """The time, in the budget's clock, from which on somebody else may have this room."""

    def grow(self, more_bytes: int, *, keep_free: int = 0) -> None:
        """Hold more. Raises BudgetExceeded when less than `keep_free` would be left for others."""
        self._budget._grow(self, more_bytes, keep_free)

    def keep(self) -> None:
        """The peer has done its part: from now on nobody else may have this room."""
        self._budget._stallable.pop(self, None)

    def release(self) -> None:
        """Give all of it back; more than once is fine."""
        self._budget._release(self)

    def dismiss(self) -> None:
        """Give all of it back for somebody else's sake, and tell the holder."""
        self.release()
        self._dismiss()


class Budget:
    """Counts reserved bytes against a limit. Belongs to the event loop's thread."""

    def __init__(self, limit_bytes: int, *, clock: Callable[[], float] = monotonic) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.dismissed = 0
        self.clock = clock
        self._stallable: dict[Reservation, None] = {}  # those whose room others may get, the oldest first

    def reserve(
        self, size_bytes: int, dismiss: Callable[[], None], *, stalled_from: float, keep_free: int = 0
    ) -> Reservation:
        """Room for so many bytes. Raises BudgetExceeded when less than `keep_free` would be left for others.

        `dismiss` is called, from wherever room is needed, when the room is taken away.
        """
        reservation = Reservation(self, dismiss, stalled_from)
        self._grow(reservation, size_bytes, keep_free)
        self._stallable[reservation] = None
        return reservation

    def _grow(self, reservation: Reservation, more_bytes: int, keep_free: int) -> None:
        excess = self.used_bytes + more_bytes - (self.limit_bytes - keep_free)
        if excess > 0 and not self._take_back(excess, but=reservation):
            raise BudgetExceeded
        reservation.size_bytes += more_bytes
        self.used_bytes += more_bytes

    def _take_back(self, excess: int, *, but: Reservation) -> bool:
        """Dismiss stalled holders, the oldest first, when that makes enough room; otherwise nobody."""
        now = self.clock()
        stalled: list[Reservation] = []
        in_vain = 0
        for reservation in self._stallable:
            if reservation is not but and reservation.stalled_from <= now:
                stalled.append(reservation)
                excess -= reservation.size_bytes
                if excess <= 0:
                    break
            else:
                in_vain += 1
                if in_vain == _LOOKS_IN_VAIN:
                    break
        if excess > 0:
            return False
        self.dismissed += len(stalled)
        for reservation in stalled:
            reservation.dismiss()
        return True

    def _release(self, reservation: Reservation) -> None:
        self.used_bytes -= reservation.size_bytes
        reservation.size_bytes = 0
        self._stallable.pop(reservation, None)
