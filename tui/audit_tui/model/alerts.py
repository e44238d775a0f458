"""What is held against a log: raised, acknowledged, carried over to the next session, and what has yet to ring."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Alert", "AlertKind", "Alerts", "UnacknowledgedAlert", "most_urgent"]

_MAX_IDS = 1000
"""Kept one by one; of a stream that is broken from end to end the rest is only counted."""


class UnacknowledgedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A break that nobody had acknowledged when a session ended; `by_console` tells who had found it."""

    event_id: int
    reason: str
    by_console: bool


class AlertKind(enum.IntEnum):
    """What is held against the log, and who says so. There is one alert of each kind, for all the events of it."""

    OWN_BREAK = enum.auto()
    """Events that this console found broken."""
    REPORTED_BREAK = enum.auto()
    """Where the verdicts say that the chain breaks."""
    REWRITTEN = enum.auto()
    """Events that this console remembers and the log no longer holds."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """All of one kind that is held against the log, at one moment. Each change is a new value.

    `is_present` from the first finding until it both no longer stands and has been acknowledged. `finds` counts what is
    new, so that an acknowledgement can tell whether it speaks of all there is. `disagreement` says how the verifier and
    this console contradict each other, "" when they do not. `is_restored`: an earlier session found it, and this one
    does not know yet whether it still stands.
    """

    kind: AlertKind
    ids: Mapping[int, str] = {}
    """What stands: event ids, and why."""
    more: int = 0
    """How many stand beyond those in `ids`."""
    last_id: int = 0
    last_reason: str = ""
    is_present: bool = False
    is_acknowledged: bool = False
    finds: int = 0
    disagreement: str = ""
    is_restored: bool = False

    @property
    def stands(self) -> bool:
        """Whether what was found is so still."""
        return bool(self.ids) or self.more > 0

    @property
    def is_unacknowledged(self) -> bool:
        """Whether a person has yet to acknowledge it."""
        return self.is_present and not self.is_acknowledged

    @property
    def first_id(self) -> int:
        """The lowest event id that stands, or when none does the last that did."""
        return min(self.ids, default=self.last_id)

    @property
    def reason(self) -> str:
        """Why, of `first_id`."""
        return self.ids.get(self.first_id, self.last_reason)

    def found(self, event_id: int, reason: str, *, acknowledged: bool) -> Alert:
        """With one more event, or the same when it is known. `acknowledged`: a person knows of it from elsewhere."""
        if self.ids.get(event_id) == reason:
            return self
        raised = msgspec.structs.replace(
            self,
            finds=self.finds + 1,
            is_present=True,
            is_acknowledged=acknowledged and (not self.is_present or self.is_acknowledged),
            is_restored=False,
        )
        if event_id not in self.ids and len(self.ids) >= _MAX_IDS:
            return msgspec.structs.replace(raised, more=self.more + 1)
        ids = {**self.ids, event_id: reason}
        return msgspec.structs.replace(raised, ids=ids, last_id=event_id, last_reason=reason)

    def restored(self, event_id: int, reason: str) -> Alert:
        """With what an earlier session had found."""
        return msgspec.structs.replace(
            self, last_id=event_id, last_reason=reason, finds=self.finds + 1, is_present=True, is_restored=True
        )

    def disagreeing(self, text: str) -> Alert:
        """With what the other side says against it, "" for nothing; when it did not before, that is to be seen too."""
        if not text or self.disagreement:
            return msgspec.structs.replace(self, disagreement=text)
        return msgspec.structs.replace(self, disagreement=text, finds=self.finds + 1, is_acknowledged=False)

    def released(self, event_id: int) -> Alert:
        """Without this event, which no longer stands."""
        if event_id not in self.ids:
            return self
        ids = {each: reason for each, reason in self.ids.items() if each != event_id}
        return msgspec.structs.replace(self, ids=ids, last_id=event_id, last_reason=self.ids[event_id])._unless_over()

    def all_released(self) -> Alert:
        """Without any event."""
        return msgspec.structs.replace(
            self, ids={}, more=0, last_id=self.first_id, last_reason=self.reason, is_restored=False
        )._unless_over()

    def acknowledged(self) -> Alert:
        """As it is once a person has seen all of it."""
        return msgspec.structs.replace(self, is_acknowledged=True)._unless_over()

    def _unless_over(self) -> Alert:
        if self.stands or not self.is_acknowledged:
            return self
        return msgspec.structs.replace(self, is_present=False, is_acknowledged=False, disagreement="")


class Alerts:
    """The three alerts of one log, which of them have yet to ring, and which a person has before them. No clock."""

    def __init__(self) -> None:
        self._by_kind = {kind: Alert(kind=kind) for kind in AlertKind}
        self._ringing: dict[AlertKind, None] = {}
        self._shown: dict[AlertKind, int] = {}
        """What the badge says: how much had been found of it then."""

    @property
    def all(self) -> tuple[Alert, ...]:
        """One of each kind, present or not."""
        return tuple(self._by_kind.values())

    @property
    def own(self) -> Alert:
        """The events that this console found broken."""
        return self._by_kind[AlertKind.OWN_BREAK]

    @property
    def reported(self) -> Alert:
        """The breaks that the verdicts report."""
        return self._by_kind[AlertKind.REPORTED_BREAK]

    @property
    def rewritten(self) -> Alert:
        """The events that this console remembers and the log no longer holds."""
        return self._by_kind[AlertKind.REWRITTEN]

    def find(
        self, kind: AlertKind, event_id: int, reason: str, *, rings: bool = True, acknowledged: bool = False
    ) -> bool:
        """Raise an alert, or add to it; False when this is known already. `acknowledged` is that of `Alert.found`."""
        is_news = self._change(self._by_kind[kind].found(event_id, reason, acknowledged=acknowledged))
        if is_news and rings:
            self._ringing[kind] = None
        return is_news

    def disagree(self, kind: AlertKind, text: str) -> None:
        """Say that the other side contradicts an alert, which rings, or with "" that it does not."""
        before = self._by_kind[kind]
        self._change(before.disagreeing(text))
        if text and not before.disagreement:
            self._ringing[kind] = None

    def release(self, kind: AlertKind, event_id: int) -> None:
        """What was found at this event no longer stands."""
        self._change(self._by_kind[kind].released(event_id))

    def release_all(self, kind: AlertKind) -> None:
        """Nothing of an alert stands any more."""
        self._change(self._by_kind[kind].all_released())

    def restore(self, kind: AlertKind, event_id: int, reason: str) -> None:
        """Raise what was unacknowledged when the last session ended."""
        self._change(self._by_kind[kind].restored(event_id, reason))
        self._ringing[kind] = None

    def note_shown(self) -> None:
        """A person has before them now what is most urgent of the unacknowledged."""
        urgent = most_urgent([alert for alert in self.all if alert.is_unacknowledged])
        self._shown = {alert.kind: alert.finds for alert in urgent}

    def acknowledge_shown(self) -> list[Alert]:
        """Acknowledge what `note_shown` was told of, except where more was found since; returns them as they were."""
        shown = [self._by_kind[kind] for kind, finds in self._shown.items() if self._by_kind[kind].finds == finds]
        seen = [alert for alert in shown if alert.is_unacknowledged]
        for alert in seen:
            self._ringing.pop(alert.kind, None)
            self._change(alert.acknowledged())
        if seen:
            self._shown = {}
        return seen

    def withdraw(self, kind: AlertKind) -> None:
        """Nothing of it is held against the log any more, acknowledged or not."""
        self._ringing.pop(kind, None)
        self._change(self._by_kind[kind].acknowledged().all_released())

    def take_ringing(self) -> list[Alert]:
        """The unacknowledged alerts in which there is something new since the last call: each once."""
        ringing = [self._by_kind[kind] for kind in self._ringing]
        self._ringing.clear()
        return [alert for alert in ringing if alert.is_unacknowledged]

    def _change(self, after: Alert) -> bool:
        is_changed = after is not self._by_kind[after.kind]
        self._by_kind[after.kind] = after
        return is_changed


def most_urgent(alerts: Sequence[Alert]) -> list[Alert]:
    """Those that are shown together: breaks in disagreement first, then a rewritten history, then other breaks."""
    broken = [alert for alert in alerts if alert.kind is not AlertKind.REWRITTEN]
    if any(alert.disagreement for alert in broken):
        return broken
    return [alert for alert in alerts if alert.kind is AlertKind.REWRITTEN] or broken
