"""The integrity badge: its states, and what it says of one moment of a log, in words."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from audit_stream.chain import Head
from audit_stream.display import counted
from audit_tui.model.alerts import Alert, AlertKind, most_urgent
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.verdicts import DAEMON, ReceivedVerdict, Verifier
from audit_tui.text import ago, duration

__all__ = ["Badge", "Snapshot", "State", "badge_of", "badge_of_alerts"]

_DUE_PERIODS = 1.5
"""A verification begins every period; half of one more, and a few seconds, for one that takes longer than the last."""
_DUE_SLACK_S = 5.0


class State(enum.Enum):
    """What may be believed of the log. BROKEN and REWRITTEN are the red ones."""

    VERIFIED = "VERIFIED"
    VERIFYING = "VERIFYING"
    BROKEN = "BROKEN"
    REWRITTEN = "REWRITTEN"
    UNVERIFIED = "UNVERIFIED"
    PART = "PART"
    STALE = "STALE"
    OFFLINE = "OFFLINE"

    @property
    def is_red(self) -> bool:
        """Whether it says that the log is not what it was."""
        return self in (State.BROKEN, State.REWRITTEN)


class Badge(msgspec.Struct, frozen=True, kw_only=True):
    """What the badge says at one moment. All texts are safe to show.

    `text` begins with the state's word unless what was found holds again ("was BROKEN at #42, ..."). `detail` is a
    sentence on who found what. `disagreement` is empty unless the daemon and this console contradict each other.
    `is_alarm`: red, and nobody has acknowledged it; `is_acknowledged`: red still, which somebody has seen.
    """

    state: State
    text: str
    detail: str
    event_id: int | None = None
    disagreement: str = ""
    is_alarm: bool = False
    is_acknowledged: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that the badge speaks of, at one moment. `alerts` are those of `Alerts.all`.

    The console has received the events `linked_from` to `newest` without a gap. `uncompared` says why the heads that
    earlier sessions remember have not been looked up, `failure` why the last try gave no verdict; "" for neither. The
    log does not answer since `offline_since_s`, None while it does.
    """

    now_s: float
    alerts: tuple[Alert, ...]
    verifier: Verifier
    latest: ReceivedVerdict | None
    last_agreed: ReceivedVerdict | None
    failure: str
    verifying_since_s: float | None
    period_s: float
    newest: Head | None
    linked_from: int
    uncompared: str
    offline_since_s: float | None
    offline_reason: str


def badge_of(snapshot: Snapshot) -> Badge:
    """What the badge says: unacknowledged alerts, else being offline, else what is red still, else the verdict."""
    present = [alert for alert in snapshot.alerts if alert.is_present]
    if unacknowledged := most_urgent([alert for alert in present if not alert.is_acknowledged]):
        badge = badge_of_alerts(unacknowledged, snapshot.alerts, snapshot.verifier)
        is_online = snapshot.offline_since_s is None
        return badge if is_online else msgspec.structs.replace(badge, detail=f"{badge.detail} The log is offline.")
    red = badge_of_alerts(most_urgent(present), snapshot.alerts, snapshot.verifier) if present else None
    if snapshot.offline_since_s is not None:
        return _offline(snapshot.offline_reason, snapshot.now_s - snapshot.offline_since_s, red)
    return red or _calm(snapshot)


# Something is held against the log


def badge_of_alerts(group: Sequence[Alert], alerts: Sequence[Alert], verifier: Verifier) -> Badge:
    """The badge of alerts that are shown together, out of all alerts of the log."""
    state = State.REWRITTEN if group[0].kind is AlertKind.REWRITTEN else State.BROKEN
    standing = [each for each in group if each.stands]
    first = min(standing or group, key=lambda each: each.first_id)
    acknowledged = all(each.is_acknowledged for each in group)
    count = len({event_id for each in group for event_id in each.ids}) + sum(each.more for each in group)
    text = f"{state.value} at #{first.first_id}"
    if not standing:
        text = f"was {text}{' last time' if first.is_restored else ', holds again'}: acknowledge"
    elif state is State.BROKEN and count > 1:
        text += f" and {count - 1:,} more"
    disagreement = next((each.disagreement for each in group if each.disagreement), "")
    if standing and disagreement:
        text += " · they disagree"
    if standing and acknowledged:
        text += " · acknowledged"
    return Badge(
        state=state,
        text=text,
        detail=f"They disagree: {disagreement}." if disagreement else _who(first, alerts, verifier),
        event_id=first.first_id,
        disagreement=disagreement,
        is_alarm=not acknowledged,
        is_acknowledged=acknowledged,
    )


def _who(first: Alert, alerts: Sequence[Alert], verifier: Verifier) -> str:
    finders = {alert.kind for alert in alerts if first.first_id in alert.ids}
    if first.kind is not AlertKind.REWRITTEN and finders >= {AlertKind.OWN_BREAK, AlertKind.REPORTED_BREAK}:
        return f"Found by both, {verifier.words} and this console: {first.reason}."
    by = verifier.words if first.kind is AlertKind.REPORTED_BREAK else "this console"
    return f"Found by {by}: {first.reason}."


def _offline(reason: str, for_s: float, red: Badge | None) -> Badge:
    text = f"OFFLINE for {duration(for_s)}" if for_s >= 1 else "OFFLINE"
    return Badge(
        state=State.OFFLINE,
        text=f"{text} · {red.text}" if red else text,
        detail=f"Nothing can be verified now: {reason}." + (f" {red.detail}" if red else ""),
        event_id=red.event_id if red else None,
        is_acknowledged=red is not None,
    )


# Nothing is, and the log answers


def _calm(snapshot: Snapshot) -> Badge:
    agreed = snapshot.last_agreed
    if agreed is None:
        return _without_verdict(snapshot)
    age_s = snapshot.now_s - agreed.at.monotonic_s
    stale_s = _DUE_PERIODS * snapshot.period_s + _DUE_SLACK_S
    if age_s > stale_s and _is_ahead(snapshot, snapshot.now_s - stale_s):
        return _without_verdict(snapshot)
    if age_s > stale_s or snapshot.failure:  # overdue, or asked for in vain: what came since then is not known
        return _stale(snapshot, age_s)
    if isinstance(agreed.verdict, PartVerdict):
        part = agreed.verdict
        text = f"PART of a log: {counted(part.checked, 'event')} hold{'s' * (part.checked == 1)} · {part.words}"
        return Badge(state=State.PART, text=text, detail=part.sentences)
    head_id = agreed.head.event_id
    newest_id = snapshot.newest.event_id if snapshot.newest else 0
    if newest_id < head_id or (newest_id > 0 and snapshot.linked_from > max(head_id, 1)):
        return _links_not_seen(snapshot, head_id, newest_id)
    if agreed.verdict.checked != head_id and snapshot.verifier is DAEMON:  # whose log begins with event 1
        return Badge(
            state=State.UNVERIFIED,
            text=f"UNVERIFIED {agreed.verdict.checked:,} of {head_id:,} events checked",
            detail=f"The daemon says that all holds up to #{head_id}, and that it checked another number of events.",
            event_id=head_id,
        )
    if snapshot.uncompared:
        return Badge(
            state=State.UNVERIFIED,
            text="UNVERIFIED remembered heads not compared",
            detail=f"Whether this is the history that earlier sessions saw is not known: {snapshot.uncompared}.",
        )
    count = agreed.verdict.checked + newest_id - head_id
    return Badge(
        state=State.VERIFIED,
        text=f"VERIFIED {counted(count, 'event')} · {ago(age_s)}",
        detail=_verified_by(agreed, newest_id, snapshot.verifier),
    )


def _is_ahead(snapshot: Snapshot, since_s: float) -> bool:
    """Whether verdicts do come, but speak of events that have not: it is the stream that stands still."""
    latest, newest = snapshot.latest, snapshot.newest
    if latest is None or latest.verdict.head is None or latest.at.monotonic_s < since_s:
        return False
    return latest.verdict.valid and newest is not None and latest.head.event_id > newest.event_id


def _links_not_seen(snapshot: Snapshot, head_id: int, newest_id: int) -> Badge:
    linked_from = snapshot.linked_from
    seen = f"seen from #{linked_from} on" if linked_from > head_id else f"received up to #{newest_id}"
    return Badge(
        state=State.UNVERIFIED,
        text=f"UNVERIFIED links not seen since #{head_id}",
        detail=f"{snapshot.verifier.opening} says that all holds up to #{head_id}; "
        f"of the links after it, this console: {seen}.",
        event_id=head_id,
    )


def _verified_by(agreed: ReceivedVerdict, newest_id: int, verifier: Verifier) -> str:
    head_id = agreed.head.event_id
    if head_id == 0:
        compared = "which it says was empty"
    elif agreed.matched:
        compared = f"up to #{head_id}, whose hash is the one received here"
    else:
        compared = f"up to #{head_id}, which is no longer in memory here"
    after = newest_id - head_id
    linked = f"; the {after:,} after it this console linked itself" if after else ""
    return f"{verifier.opening} checked {agreed.verdict.checked:,} events, {compared}{linked}."


def _without_verdict(snapshot: Snapshot) -> Badge:
    latest, verifier = snapshot.latest, snapshot.verifier.opening
    if latest is not None and latest.verdict.valid and latest.verdict.head is None:
        text = "the verdict names no head"
        detail = "It does not say which event it speaks of, so it cannot be compared."
    elif latest is not None and latest.verdict.valid:
        text = f"#{latest.head.event_id} not received yet"
        detail = "The verdict speaks of an event not yet received here."
    elif snapshot.verifying_since_s is not None:
        return Badge(
            state=State.VERIFYING,
            text=f"VERIFYING for {duration(snapshot.now_s - snapshot.verifying_since_s)}",
            detail=f"{verifier} checks the whole chain; there is no verdict yet.",
        )
    elif snapshot.failure:
        text, detail = "no verdict", f"{verifier} gave no verdict: {snapshot.failure}."
    else:
        text, detail = "no verdict yet", f"{verifier} has not been asked for a verdict yet."
    return Badge(state=State.UNVERIFIED, text=f"UNVERIFIED {text}", detail=detail)


def _stale(snapshot: Snapshot, age_s: float) -> Badge:
    text = f"STALE last verdict {ago(age_s)}"
    if snapshot.verifying_since_s is not None:
        text += ", verifying"
    elif snapshot.failure:
        text += ", no newer one"
    why = f" The last try failed: {snapshot.failure}." if snapshot.failure else ""
    return Badge(
        state=State.STALE,
        text=text,
        detail=f"A verdict is due every {duration(snapshot.period_s)}; what came since then is unknown.{why}",
    )
