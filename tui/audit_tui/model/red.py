"""A red finding that stays until a person has acknowledged it."""

from __future__ import annotations

import msgspec

from audit_tui.model.badge import State

__all__ = ["Red", "Unseen"]

_MAX_IDS = 1000
"""Kept one by one; of a stream that is broken from end to end the rest is only counted."""


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """A break that nobody had acknowledged when a session ended; `by_console` tells who had found it."""

    event_id: int
    reason: str
    by_console: bool


class Red:
    """Everything that one finder holds against the log, in one of the two red states.

    `present` from the first finding until it both no longer stands and has been acknowledged. `finds` counts what is
    new, so that an acknowledgement can tell whether it speaks of all there is.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.ids: dict[int, str] = {}
        """What stands: event ids, and why."""
        self.more = 0
        """How many stand beyond those in `ids`."""
        self.last_id = 0
        self.last_reason = ""
        self.present = False
        self.acknowledged = False
        self.finds = 0
        self.disagreement = ""
        self.is_recalled = False
        """Whether an earlier session found it, and this one does not know yet whether it still stands."""

    @property
    def stands(self) -> bool:
        """Whether what was found is so still."""
        return bool(self.ids) or self.more > 0

    @property
    def is_alarm(self) -> bool:
        """Whether a person has yet to acknowledge it."""
        return self.present and not self.acknowledged

    @property
    def first_id(self) -> int:
        """The lowest event id that stands, or when none does the last that did."""
        return min(self.ids, default=self.last_id)

    @property
    def reason(self) -> str:
        """Why, of `first_id`."""
        return self.ids.get(self.first_id, self.last_reason)

    @property
    def count(self) -> int:
        """How many events stand."""
        return len(self.ids) + self.more

    def find(self, event_id: int, reason: str, *, acknowledged: bool = False) -> bool:
        """Add what was found; False when it is known already. `acknowledged`: a person knows of it from elsewhere."""
        if self.ids.get(event_id) == reason:
            return False
        self.is_recalled = False
        if event_id in self.ids or len(self.ids) < _MAX_IDS:
            self.ids[event_id] = reason
            self.last_id, self.last_reason = event_id, reason
        else:
            self.more += 1
        self.finds += 1
        self.acknowledged = acknowledged and (not self.present or self.acknowledged)
        self.present = True
        return True

    def recall(self, event_id: int, reason: str) -> None:
        """An earlier session found this, and nobody acknowledged it."""
        self.last_id, self.last_reason = event_id, reason
        self.finds += 1
        self.present = self.is_recalled = True

    def disagree(self, text: str) -> bool:
        """Say that the other finder contradicts this one, or with "" that it does not. True when that is news."""
        is_new = bool(text) and not self.disagreement
        self.disagreement = text
        if is_new:
            self.finds += 1
            self.acknowledged = False
        return is_new

    def release(self, event_id: int) -> None:
        """What was found at this event no longer stands."""
        if event_id in self.ids:
            self.last_id, self.last_reason = event_id, self.ids.pop(event_id)
            self._clear_when_over()

    def release_all(self) -> None:
        """Nothing of it stands any more."""
        if self.ids:
            self.last_id, self.last_reason = self.first_id, self.reason
        self.ids.clear()
        self.more = 0
        self.is_recalled = False
        self._clear_when_over()

    def acknowledge(self) -> None:
        """A person has seen all of it."""
        self.acknowledged = True
        self._clear_when_over()

    def _clear_when_over(self) -> None:
        if not self.stands and self.acknowledged:
            self.present = self.acknowledged = False
            self.disagreement = ""
