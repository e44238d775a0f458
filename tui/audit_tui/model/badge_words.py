"""What the integrity badge says, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit_stream.chain import Head
from audit_stream.display import counted
from audit_tui.model.badge import Badge, State
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.red import Red
from audit_tui.model.verifier import DAEMON, Verifier
from audit_tui.text import ago, duration

if TYPE_CHECKING:
    from audit_tui.model.integrity import Integrity, Judged

__all__ = ["calm", "offline", "overlooked", "red", "rewritten_reason", "seen_whole"]

_DUE_PERIODS = 1.5
"""A walk begins every period; half of one more, and a few seconds, for a walk that takes longer than the last."""
_DUE_SLACK_S = 5.0


def rewritten_reason(remembered: Head, found: Head | None) -> str:
    """What was found in place of a remembered head."""
    if found is None:
        return f"event #{remembered.event_id}, which this console remembers, is gone"
    return f"event #{remembered.event_id} has another hash than this console remembers"


def overlooked(event_id: int, other_break: int | None, verifier: Verifier) -> str:
    """The console found an event broken that the verifier says holds."""
    says = "valid" if other_break is None else f"the first break is #{other_break}"
    return f"{verifier.words} says {says}, this console found #{event_id} broken"


def seen_whole(event_id: int, verifier: Verifier) -> str:
    """The verifier says that an event is broken which the console has received whole."""
    return (
        f"{verifier.words} says broken at #{event_id}, this console received it whole: "
        f"it was changed after that, or {verifier.words} errs"
    )


def red(group: Sequence[Red], reds: Sequence[Red], verifier: Verifier, *, offline: bool = False) -> Badge:
    """The badge of reds of one state, and what else is red."""
    own, daemon, _ = reds
    state = group[0].state
    standing = [each for each in group if each.stands]
    first = min(standing or group, key=lambda each: each.first_id)
    acknowledged = all(each.acknowledged for each in group)
    count = len({event_id for each in group for event_id in each.ids}) + sum(each.more for each in group)
    text = f"{state.value} at #{first.first_id}"
    if not standing:
        text = f"was {text}{' last time' if first.is_recalled else ', holds again'}: acknowledge"
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
        detail=_who(first, own, daemon, verifier, disagreement) + (" The log is offline." if offline else ""),
        event_id=first.first_id,
        disagreement=disagreement,
        is_alarm=not acknowledged,
        is_acknowledged=acknowledged,
    )


def _who(first: Red, own: Red, daemon: Red, verifier: Verifier, disagreement: str) -> str:
    if disagreement:
        return f"They disagree: {disagreement}."
    if first.state is State.REWRITTEN:
        return f"Found by this console: {first.reason}."
    if first.first_id in own.ids and first.first_id in daemon.ids:
        return f"Found by both, {verifier.words} and this console: {first.reason}."
    return f"Found by {verifier.words if first is daemon else 'this console'}: {first.reason}."


def offline(reason: str, for_s: float, acknowledged: Sequence[Red], reds: Sequence[Red], verifier: Verifier) -> Badge:
    """The badge while the log does not answer and no alarm is unseen."""
    text = f"OFFLINE for {duration(for_s)}" if for_s >= 1 else "OFFLINE"
    before = red(acknowledged, reds, verifier) if acknowledged else None
    return Badge(
        state=State.OFFLINE,
        text=f"{text} · {before.text}" if before else text,
        detail=f"Nothing can be verified now: {reason}." + (f" {before.detail}" if before else ""),
        event_id=before.event_id if before else None,
        is_acknowledged=before is not None,
    )


def calm(integrity: Integrity, failure: str, now_s: float) -> Badge:
    """The badge while nothing is red and the log answers."""
    good = integrity.good
    if good is None:
        return _without_verdict(integrity, failure, now_s)
    age_s = now_s - good.at.monotonic_s
    stale_s = _DUE_PERIODS * integrity.period_s + _DUE_SLACK_S
    if age_s > stale_s and _is_ahead(integrity, now_s - stale_s):
        return _without_verdict(integrity, failure, now_s)
    if age_s > stale_s or failure:  # overdue, or asked for in vain: what came since the last verdict is not known
        return _stale(integrity, failure, age_s)
    if isinstance(good.verdict, PartVerdict):
        part = good.verdict
        text = f"PART of a log: {counted(part.checked, 'event')} hold{'s' * (part.checked == 1)} · {part.words}"
        return Badge(state=State.PART, text=text, detail=part.sentences)
    head_id = good.head.event_id
    newest_id = integrity.newest.event_id if integrity.newest else 0
    linked_from = integrity.linked_from
    if newest_id < head_id or (newest_id > 0 and linked_from > max(head_id, 1)):
        seen = f"seen from #{linked_from} on" if linked_from > head_id else f"received up to #{newest_id}"
        return Badge(
            state=State.UNVERIFIED,
            text=f"UNVERIFIED links not seen since #{head_id}",
            detail=f"{integrity.verifier.opening} says that all holds up to #{head_id}; "
            f"of the links after it, this console: {seen}.",
            event_id=head_id,
        )
    if good.verdict.checked != head_id and integrity.verifier is DAEMON:  # whose log begins with event 1
        return Badge(
            state=State.UNVERIFIED,
            text=f"UNVERIFIED {good.verdict.checked:,} of {head_id:,} events checked",
            detail=f"The daemon says that all holds up to #{head_id}, and that it checked another number of events.",
            event_id=head_id,
        )
    if integrity.uncompared:
        return Badge(
            state=State.UNVERIFIED,
            text="UNVERIFIED remembered heads not compared",
            detail=f"Whether this is the history that earlier sessions saw is not known: {integrity.uncompared}.",
        )
    count = good.verdict.checked + newest_id - head_id
    return Badge(
        state=State.VERIFIED,
        text=f"VERIFIED {count:,} event{'' if count == 1 else 's'} · {ago(age_s)}",
        detail=_verified_by(good, newest_id, integrity.verifier),
    )


def _is_ahead(integrity: Integrity, since_s: float) -> bool:
    """Whether verdicts do come, but speak of events that have not: it is the stream that stands still."""
    latest, newest = integrity.latest, integrity.newest
    if latest is None or latest.verdict.head is None or latest.at.monotonic_s < since_s:
        return False
    return latest.verdict.valid and newest is not None and latest.verdict.head.event_id > newest.event_id


def _verified_by(good: Judged, newest_id: int, verifier: Verifier) -> str:
    head_id = good.head.event_id
    if head_id == 0:
        compared = "which it says was empty"
    elif good.matched:
        compared = f"up to #{head_id}, whose hash is the one received here"
    else:
        compared = f"up to #{head_id}, which is no longer in memory here"
    after = newest_id - head_id
    linked = f"; the {after:,} after it this console linked itself" if after else ""
    return f"{verifier.opening} checked {good.verdict.checked:,} events, {compared}{linked}."


def _without_verdict(integrity: Integrity, failure: str, now_s: float) -> Badge:
    latest, walking, verifier = integrity.latest, integrity.walking_since_s, integrity.verifier.opening
    if latest is not None and latest.verdict.valid and latest.verdict.head is None:
        text, detail = (
            "the verdict names no head",
            "It does not say which event it speaks of, so it cannot be compared.",
        )
    elif latest is not None and latest.verdict.valid and latest.verdict.head is not None:
        head_id = latest.verdict.head.event_id
        text, detail = f"#{head_id} not received yet", "The verdict speaks of an event not yet received here."
    elif walking is not None:
        return Badge(
            state=State.VERIFYING,
            text=f"VERIFYING for {duration(now_s - walking)}",
            detail=f"{verifier} checks the whole chain; there is no verdict yet.",
        )
    elif failure:
        text, detail = "no verdict", f"{verifier} gave no verdict: {failure}."
    else:
        text, detail = "no verdict yet", f"{verifier} has not been asked for a verdict yet."
    return Badge(state=State.UNVERIFIED, text=f"UNVERIFIED {text}", detail=detail)


def _stale(integrity: Integrity, failure: str, age_s: float) -> Badge:
    text = f"STALE last verdict {ago(age_s)}"
    if integrity.walking_since_s is not None:
        text += ", verifying"
    elif failure:
        text += ", no newer one"
    why = f" The last try failed: {failure}." if failure else ""
    return Badge(
        state=State.STALE,
        text=text,
        detail=f"A verdict is due every {duration(integrity.period_s)}; what came since then is unknown.{why}",
    )
