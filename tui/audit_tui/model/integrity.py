"""What may be believed of the log: the daemon's verdicts weighed against what the console has seen itself.

The daemon's word alone never makes a badge VERIFIED: the head that a verdict speaks of must be one that this console
has received, and the links from there to the newest event must have been seen without a gap. What is red stays red
until a person has acknowledged it, whatever comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from audit_stream.chain import Head, Verdict
from audit_stream.display import safe
from audit_tui.model.alerts import AlertKind, Alerts, UnacknowledgedAlert
from audit_tui.model.badge import Badge, Snapshot, badge_of, badge_of_alerts
from audit_tui.model.cuts import Cut
from audit_tui.model.findings import Finder, Finding, FindingLog, Moment
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.rows import Row
from audit_tui.model.verdicts import DAEMON, ReceivedVerdict, Verdicts, Verification, Verifier

__all__ = ["Integrity", "OwnBreak", "Rewriting"]

_MAX_OWN_BREAKS = 16
"""Events that are kept whole, of up to 64 KB each, with the one before."""
_MAX_REASON = 200
_WHAT_HOLDS = ("the whole chain holds", "what is there of the chain holds")


class OwnBreak(msgspec.Struct, frozen=True):
    """An event that this console itself found broken, as it was received, and the one before if that is known."""

    row: Row
    before: Row | None


class Rewriting(msgspec.Struct, frozen=True, kw_only=True):
    """A head that this console remembers, and what the log holds in its place: None when it holds nothing there."""

    remembered: Head
    found: Head | None
    found_ms: int


class Integrity:
    """Everything that is known of one log's integrity. No clock and no I/O; belongs to one thread.

    `hash_of_seen` gives the hash of an event that this console holds or remembers, None for one that it does not.
    `verifier` is who gives the verdicts: where the names and texts here say "daemon", it may be the one of a file.
    `now_s` is monotonic and measures spans, `now_ms` is Unix milliseconds and dates what was found.
    """

    def __init__(
        self, hash_of_seen: Callable[[int], str | None], *, verify_every_s: float = 30.0, verifier: Verifier = DAEMON
    ) -> None:
        self.verifier = verifier
        self.verdicts = Verdicts(verify_every_s)
        self.own_breaks: dict[int, OwnBreak] = {}
        """The first few events that this console found broken, by id."""
        self.rewriting: Rewriting | None = None
        """The earliest of the remembered heads that differ."""
        self.newest: Head | None = None
        self.linked_from = 0
        self.uncompared = ""
        """Why the heads that earlier sessions remember have not been looked up in the log; "" once they have."""
        self._hash_of_seen = hash_of_seen
        self._alerts = Alerts()
        self._findings = FindingLog()
        self._step = 0
        """Counts the inputs, so that it is known which came first."""
        self._found_at: dict[int, int] = {}
        """The step at which this console found an event broken."""
        self._rewritten_at = 0
        self._remembered: dict[int, str] = {}
        """The hashes of the events of the REWRITTEN alert, as this console remembers them."""
        self._acknowledged_up_to = 0
        self._offline_since_s: float | None = None
        self._offline_reason = "not connected yet"
        self._online = False

    # The connection

    def connected(self) -> None:
        """The log answers."""
        self._online, self._offline_since_s = True, None

    def disconnected(self, reason: str) -> None:
        """It does not, which may be said again and again while it lasts."""
        self._online, self._offline_reason = False, _short(reason)

    def not_compared(self, reason: str) -> None:
        """Whether the log holds the heads that earlier sessions remember is not known yet."""
        self.uncompared = _short(reason)

    def compared(self) -> None:
        """It is known; of those that it does not hold `history_differs` has told."""
        self.uncompared = ""

    # From one session to the next

    def restore(self, unacknowledged: Sequence[UnacknowledgedAlert]) -> None:
        """What was red when the last session ended, before anything else: it is red until a person has seen it."""
        for each in unacknowledged:
            kind = AlertKind.OWN_BREAK if each.by_console else AlertKind.REPORTED_BREAK
            self._alerts.restore(kind, max(each.event_id, 1), _short(each.reason))

    @property
    def unacknowledged(self) -> tuple[UnacknowledgedAlert, ...]:
        """What the next session has to restore. A rewritten history needs none: its remembered heads show it again."""
        return tuple(
            UnacknowledgedAlert(
                event_id=alert.first_id, reason=alert.reason, by_console=alert.kind is AlertKind.OWN_BREAK
            )
            for alert in (self._alerts.own, self._alerts.reported)
            if alert.is_unacknowledged
        )

    # The daemon's verdicts

    def verification_started(self, now_s: float) -> None:
        """A verdict was asked for; `verification_ended` or `verification_failed` follows."""
        self._step += 1
        self.verdicts.under_way = Verification(now_s, self._step, self.newest)

    def verification_ended(self, verdict: Verdict, *, now_ms: int, now_s: float) -> None:
        """The verdict that was asked for."""
        if verdict.valid and verdict.first_break_at is not None:  # of two claims at once the worse one counts
            verdict = msgspec.structs.replace(verdict, valid=False)
        self._step += 1
        received, newest = self.verdicts.receive(verdict, self._findings.at(now_ms, now_s), self._step)
        self._log_verdict(received)
        self._weigh_break(received)
        if verdict.head is not None:
            self._weigh_head(received, newest)
        elif verdict.valid:
            self.verdicts.last_agreed = None  # it speaks of no head, so nothing can be compared
        self._compare_finders()

    def verification_failed(self, reason: str, *, now_ms: int, now_s: float) -> None:
        """No verdict came, which says nothing about the chain."""
        self._step += 1
        self.verdicts.fail(_short(reason), now_s)
        now, what = self._findings.at(now_ms, now_s), f"no verdict: {self.verdicts.failure}"
        merge = self._findings.last_was("no verdict", Finder.DAEMON)
        self._findings.add(Finder.DAEMON, what, now, good=False, merge=merge)

    @property
    def last_verdict(self) -> Verdict | None:
        """What the daemon said last."""
        return None if self.verdicts.latest is None else self.verdicts.latest.verdict

    @property
    def verified_head(self) -> Head | None:
        """The newest head that the daemon's last verdict and this console agree on; None while they do not."""
        return None if self.verdicts.last_agreed is None else self.verdicts.last_agreed.head

    # What the console sees itself

    def found_broken(self, row: Row, before: Row | None, *, now_ms: int, now_s: float) -> None:
        """An event came in whose check is BROKEN; `before` is what came before it, if that is known."""
        self._step += 1
        event_id, reason = row.event_id, _short(row.reason) or f"event #{row.event_id} is broken"
        if len(self.own_breaks) < _MAX_OWN_BREAKS or event_id in self.own_breaks:
            self.own_breaks[event_id] = OwnBreak(row, before)
        own, reported = self._alerts.own, self._alerts.reported
        was_alarm, known = own.is_unacknowledged and own.stands, event_id in reported.ids
        acknowledged = known and reported.is_acknowledged
        rings = not was_alarm and not known  # of a whole stream that is broken the first rings
        if not self._alerts.find(AlertKind.OWN_BREAK, event_id, reason, rings=rings, acknowledged=acknowledged):
            return
        if event_id in self._alerts.own.ids:
            self._found_at.setdefault(event_id, self._step)
        now, merge = self._findings.at(now_ms, now_s), was_alarm and self._findings.last_was("", Finder.CONSOLE)
        self._findings.add(Finder.CONSOLE, reason, now, good=False, merge=merge, event_id=event_id)
        self._compare_finders()

    def holds_again(self, event_id: int, now_s: float) -> None:
        """An event that this console found broken has been loaded again, and is linked."""
        self._step += 1
        if event_id in self._alerts.own.ids:
            self._alerts.release(AlertKind.OWN_BREAK, event_id)
            self._found_at.pop(event_id, None)
            self.own_breaks.pop(event_id, None)
            what = f"event #{event_id} holds again"
            self._findings.add(Finder.CONSOLE, what, self._findings.estimated(now_s), good=True, event_id=event_id)
            self._compare_finders()

    def chain_grew(self, linked_from: int, newest: Head) -> None:
        """Events `linked_from` to `newest` have been received and are linked without a gap.

        What the first of them links to need not have been seen. After the log was found rewritten, and what was in
        memory has been let go, this is the new history's: (0, GENESIS) when that is empty.
        """
        self.newest, self.linked_from = newest, linked_from
        pending = self.verdicts.pending
        if pending is not None and pending.head.event_id <= newest.event_id:
            self.verdicts.pending = None
            self._weigh_head(pending, None)

    def cut_found(self, cut: Cut, first_hash: str, *, now_ms: int, now_s: float) -> None:
        """What exactly is gone has been looked up; `first_hash` is that of the first of it, "" if it is not known."""
        first_id = cut.gone[0][0]
        remembered = Head(first_id, first_hash) if first_hash else cut.before
        found = None if cut.now.event_id < remembered.event_id else cut.now
        self.history_differs(remembered, found, now_ms=now_ms, now_s=now_s, what=cut.summary)

    def history_differs(
        self, remembered: Head, found: Head | None, *, now_ms: int, now_s: float, what: str = ""
    ) -> None:
        """The log holds something else, or nothing (None), where this console remembers an event.

        `found` is the event there, or when that is not known the new history's head. `what` says it better, if it can.
        """
        self._step += 1
        self._rewritten_at = self._step
        agreed_since = self.verdicts.last_agreed is not None
        self.verdicts.contradict()
        reason, before = what or _rewritten_reason(remembered, found), self._alerts.rewritten
        is_first = self.rewriting is None or remembered.event_id < self.rewriting.remembered.event_id
        if is_first or not before.stands:
            self.rewriting = Rewriting(remembered=remembered, found=found, found_ms=now_ms)
        # Several remembered heads differ after one rewriting, which rings once.
        rings = agreed_since or not (before.is_unacknowledged and before.stands)
        if self._alerts.find(AlertKind.REWRITTEN, remembered.event_id, reason, rings=rings):
            if remembered.event_id in self._alerts.rewritten.ids:
                self._remembered[remembered.event_id] = remembered.hash
            now = self._findings.at(now_ms, now_s)
            self._findings.add(Finder.CONSOLE, reason, now, good=False, event_id=remembered.event_id)

    # What people are told, and say

    def badge(self, now_s: float) -> Badge:
        """What the badge says now; an acknowledgement that follows speaks of this."""
        self._alerts.note_shown()
        return badge_of(self.snapshot(now_s))

    def snapshot(self, now_s: float) -> Snapshot:
        """All that the badge speaks of. How long the log has not answered is counted from the first of these."""
        if not self._online and self._offline_since_s is None:
            self._offline_since_s = now_s
        return Snapshot(
            now_s=now_s,
            alerts=self._alerts.all,
            verifier=self.verifier,
            latest=self.verdicts.latest,
            last_agreed=self.verdicts.last_agreed,
            failure=self.verdicts.failure,
            verifying_since_s=self.verdicts.verifying_since_s,
            period_s=self.verdicts.period_s,
            newest=self.newest,
            linked_from=self.linked_from,
            uncompared=self.uncompared,
            offline_since_s=self._offline_since_s,
            offline_reason=self._offline_reason,
        )

    @property
    def rewritten(self) -> Badge | None:
        """What the badge would say of a rewritten history alone; None when the log was not found rewritten.

        Nor is it when that is over: accepted, or undone and acknowledged.
        """
        alert = self._alerts.rewritten
        return badge_of_alerts([alert], self._alerts.all, self.verifier) if alert.is_present else None

    @property
    def is_rewritten(self) -> bool:
        """Whether `rewritten` says something."""
        return self._alerts.rewritten.is_present

    def new_alerts(self) -> list[Badge]:
        """What is unacknowledged and new since the last call, as the badge would say it: ring once for each."""
        return [badge_of_alerts([alert], self._alerts.all, self.verifier) for alert in self._alerts.take_ringing()]

    def said_of(self, event_id: int) -> str:
        """What stands against an event and by whom, in a few words; "" for nothing."""
        if event_id in self._alerts.reported.ids:
            return f"{self.verifier.words} says: {self._alerts.reported.ids[event_id]}"
        return self._alerts.own.ids.get(event_id, "")

    @property
    def findings(self) -> Sequence[Finding]:
        """What was found, by whom and when; the newest last."""
        return self._findings.entries

    def acknowledge(self, now_s: float) -> bool:
        """A person has seen what the last `badge` said, which silences it; False when there was nothing to see.

        What was found since then, unseen, stays an alarm. A history that was rewritten is not accepted by that.
        """
        seen = self._alerts.acknowledge_shown()
        if not seen:
            return False
        text = badge_of_alerts(seen, self._alerts.all, self.verifier).text.removesuffix(": acknowledge")
        self._findings.add(Finder.PERSON, f"acknowledged: {text}", self._findings.estimated(now_s), good=True)
        if any(alert.kind is AlertKind.REWRITTEN for alert in seen):
            self._acknowledged_up_to = self.newest.event_id if self.newest else 0
            self._settle_rewriting()
        return True

    def accept(self, now_s: float) -> None:
        """A person takes the history that there is now for the true one: nothing is held against it any more.

        The remembered heads that contradict it must have been forgotten. It is verified with the next verdict.
        """
        if self.rewritten is None:
            return
        what = f"accepted the history that there is now, after {self.rewritten.text.partition(':')[0]}"
        self._alerts.withdraw(AlertKind.REWRITTEN)
        self._remembered.clear()
        self.verdicts.start_over(self._step)
        self._findings.add(Finder.PERSON, what, self._findings.estimated(now_s), good=True)

    # Weighing one against the other

    def _weigh_break(self, received: ReceivedVerdict) -> None:
        at = received.break_at
        if at is None:
            self._alerts.release_all(AlertKind.REPORTED_BREAK)
            return
        self.verdicts.contradict()
        for event_id in [event_id for event_id in self._alerts.reported.ids if event_id < at]:
            self._alerts.release(AlertKind.REPORTED_BREAK, event_id)
        own = self._alerts.own
        known = at in own.ids
        reason = _short(received.verdict.reason or "") or f"the chain does not hold at event #{at}"
        acknowledged = known and own.is_acknowledged
        self._alerts.find(AlertKind.REPORTED_BREAK, at, reason, rings=not known, acknowledged=acknowledged)

    def _weigh_head(self, received: ReceivedVerdict, newest_before: Head | None) -> None:
        """Compare the verdict's head with what was seen; `newest_before` was there when it was asked for."""
        head = received.head
        seen = self._hash_of_seen(head.event_id) if head.event_id else head.hash
        if seen is not None and seen != head.hash:
            if head.event_id in self._alerts.own.ids:  # which is held against it already
                self.verdicts.contradict()
            else:
                self._contradicted(Head(head.event_id, seen), head, received.at)
        elif not received.verdict.valid:
            return
        elif newest_before is not None and head.event_id < newest_before.event_id:
            self._contradicted(newest_before, None, received.at)
        elif seen is None and (self.newest is None or head.event_id > self.newest.event_id):
            self.verdicts.pending = received  # told before it was received
        else:
            self.verdicts.last_agreed = msgspec.structs.replace(received, matched=seen == head.hash)
            self._settle_rewriting()

    def _settle_rewriting(self) -> None:
        """After a verdict that agrees with what is seen: a rewriting that was undone is over.

        A verdict alone settles nothing: whoever rewrites a history leaves one that is valid.
        """
        agreed = self.verdicts.last_agreed
        if agreed is None or not agreed.matched or agreed.step <= self._rewritten_at:
            return
        if self._all_there_again():
            self._alerts.release_all(AlertKind.REWRITTEN)
            self._remembered.clear()

    def _all_there_again(self) -> bool:
        """Whether the history that was seen linked holds every remembered event that had been found missing."""
        newest_id = self.newest.event_id if self.newest is not None else 0
        return not self._alerts.rewritten.more and all(
            max(self.linked_from, 1) <= event_id <= newest_id and self._hash_of_seen(event_id) == hash_
            for event_id, hash_ in self._remembered.items()
        )

    def _contradicted(self, remembered: Head, found: Head | None, now: Moment) -> None:
        """A verdict contradicts what was seen: once, though it does so for every event of what was seen before."""
        self.verdicts.contradict()
        alert = self._alerts.rewritten
        is_acknowledged = alert.is_present and alert.stands and alert.is_acknowledged
        if not (is_acknowledged and remembered.event_id <= self._acknowledged_up_to):
            self.history_differs(remembered, found, now_ms=now.wall_ms, now_s=now.monotonic_s)

    def _compare_finders(self) -> None:
        """Set what the daemon and this console hold against each other."""
        latest = self.verdicts.latest
        if latest is None:
            return
        verdict, at = latest.verdict, latest.break_at
        up_to = verdict.head.event_id if verdict.head is not None else verdict.checked
        overlooked = [
            event_id
            for event_id, found_at in self._found_at.items()
            if found_at < latest.step and event_id <= up_to and (at is None or event_id < at)
        ]
        self._alerts.disagree(AlertKind.OWN_BREAK, self._overlooked(min(overlooked), at) if overlooked else "")
        reported, own = self._alerts.reported, self._alerts.own
        if at is None or at not in reported.ids or at in own.ids:
            self._alerts.disagree(AlertKind.REPORTED_BREAK, "")
        elif not reported.disagreement and self._has_whole(at):
            self._alerts.disagree(AlertKind.REPORTED_BREAK, self._received_whole(at))

    def _has_whole(self, event_id: int) -> bool:
        """Whether this console holds the event and the one before it, and found neither broken."""
        needed = [event_id] if event_id == 1 else [event_id - 1, event_id]
        return all(self._hash_of_seen(each) is not None and each not in self._alerts.own.ids for each in needed)

    def _overlooked(self, event_id: int, other_break: int | None) -> str:
        says = "valid" if other_break is None else f"the first break is #{other_break}"
        return f"{self.verifier.words} says {says}, this console found #{event_id} broken"

    def _received_whole(self, event_id: int) -> str:
        who = self.verifier.words
        whole = f"{who} says broken at #{event_id}, this console received it whole"
        return f"{whole}: it was changed after that, or {who} errs"

    def _log_verdict(self, received: ReceivedVerdict) -> None:
        verdict, at, before = received.verdict, received.break_at, self._findings.entries
        holds = _WHAT_HOLDS[isinstance(verdict, PartVerdict)]
        self._findings.add(
            Finder.DAEMON,
            holds if at is None else _short(verdict.reason or f"broken at event #{at}"),
            received.at,
            good=at is None,
            merge=at is None or (bool(before) and before[-1].event_id == at),
            checked=verdict.checked,
            head=verdict.head,
            duration_ms=verdict.duration_ms,
            event_id=at,
        )


def _rewritten_reason(remembered: Head, found: Head | None) -> str:
    if found is None:
        return f"event #{remembered.event_id}, which this console remembers, is gone"
    return f"event #{remembered.event_id} has another hash than this console remembers"


def _short(text: str) -> str:
    return safe(text[:_MAX_REASON])
