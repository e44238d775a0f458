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
from audit_tui.model import badge_words as words
from audit_tui.model.badge import Alarm, Badge, State
from audit_tui.model.cuts import Cut
from audit_tui.model.findings import Finder, Finding, FindingLog, Moment
from audit_tui.model.part_verdict import PartVerdict
from audit_tui.model.red import Red, Unseen
from audit_tui.model.rows import Row
from audit_tui.model.verifier import DAEMON, Verifier
from audit_tui.model.walks import Walks

__all__ = ["Integrity", "Judged", "OwnBreak", "Rewriting"]

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


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict and when it came. `matched`: its head is an event that this console has received, hash and all.

    `step` is the input at which its walk began, so that one can tell what it must have seen.
    """

    verdict: Verdict
    at: Moment
    step: int
    matched: bool = False

    @property
    def head(self) -> Head:
        """What the verdict speaks of; only for verdicts that name it."""
        assert self.verdict.head is not None
        return self.verdict.head


class Integrity:
    """Everything that is known of one log's integrity. No clock and no I/O; belongs to one thread.

    `hash_of_seen` gives the hash of an event that this console holds or remembers, None for one that it does not.
    `verifier` is who gives the verdicts: where the names and texts here say "daemon", it may be the walk over a file.
    `now_s` is monotonic and measures spans, `now_ms` is Unix milliseconds and dates what was found.
    """

    def __init__(
        self, hash_of_seen: Callable[[int], str | None], *, verify_every_s: float = 30.0, verifier: Verifier = DAEMON
    ) -> None:
        self.verifier = verifier
        self.latest: Judged | None = None
        """The last verdict, whatever it says."""
        self.good: Judged | None = None
        """The last valid verdict that agrees with what was seen here; None after one that is not valid."""
        self.own_breaks: dict[int, OwnBreak] = {}
        """The first few events that this console found broken, by id."""
        self.rewriting: Rewriting | None = None
        """The earliest of the remembered heads that differ."""
        self.newest: Head | None = None
        self.linked_from = 0
        self.uncompared = ""
        """Why the heads that earlier sessions remember have not been looked up in the log; "" once they have."""
        self._hash_of_seen = hash_of_seen
        self._walks = Walks(verify_every_s)
        self._findings = FindingLog()
        self._own = Red(State.BROKEN)
        self._daemon = Red(State.BROKEN)
        self._rewritten = Red(State.REWRITTEN)
        self._reds = (self._own, self._daemon, self._rewritten)
        self._ringing: dict[Red, None] = {}
        self._shown: dict[Red, int] = {}
        self._found_at: dict[int, int] = {}
        self._rewritten_at = 0
        self._remembered: dict[int, str] = {}
        """The hashes of the events in `_rewritten`, as this console remembers them."""
        self._acknowledged_up_to = 0
        self._step = 0
        self._pending: Judged | None = None
        self._asked: tuple[int, Head | None] | None = None
        """The step at which the walk that runs was asked for, and the newest event then."""
        self._failure = ""
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

    def recall(self, unseen: Sequence[Unseen]) -> None:
        """What was red when the last session ended, before anything else: it is red until a person has seen it."""
        for each in unseen:
            red = self._own if each.by_console else self._daemon
            red.recall(max(each.event_id, 1), _short(each.reason))
            self._ringing[red] = None

    @property
    def unseen(self) -> tuple[Unseen, ...]:
        """What the next session has to recall. A rewritten history needs none: its remembered heads show it again."""
        return tuple(
            Unseen(event_id=red.first_id, reason=red.reason, by_console=red is self._own)
            for red in (self._own, self._daemon)
            if red.is_alarm
        )

    # The daemon's verdicts

    def walk_started(self, now_s: float) -> None:
        """A verdict was asked for; `walk_ended` or `walk_failed` follows."""
        self._step += 1
        self._walks.begin(now_s)
        self._asked = (self._step, self.newest)

    def walk_ended(self, verdict: Verdict, *, now_ms: int, now_s: float) -> None:
        """The verdict that was asked for."""
        if verdict.valid and verdict.first_break_at is not None:  # of two claims at once the worse one counts
            verdict = msgspec.structs.replace(verdict, valid=False)
        self._step += 1
        now = self._findings.at(now_ms, now_s)
        step, newest = self._asked or (self._step, None)
        self._asked, self._failure = None, ""
        self._walks.end(now_s, (verdict.duration_ms or 0) / 1000)
        self.latest = judged = Judged(verdict=verdict, at=now, step=step)
        self._log_verdict(judged)
        self._weigh_break(verdict)
        if verdict.head is not None:
            self._weigh_head(judged, newest)
        elif verdict.valid:
            self.good = None  # it speaks of no head, so nothing can be compared
        self._compare_finders()

    def walk_failed(self, reason: str, *, now_ms: int, now_s: float) -> None:
        """No verdict came, which says nothing about the chain."""
        self._step += 1
        self._asked, self._failure = None, _short(reason)
        self._walks.fail(now_s)
        now, what = self._findings.at(now_ms, now_s), f"no verdict: {self._failure}"
        merge = self._findings.last_was("no verdict", Finder.DAEMON)
        self._findings.add(Finder.DAEMON, what, now, good=False, merge=merge)

    @property
    def is_rewritten(self) -> bool:
        """Whether the log was found rewritten, and that is not over: neither accepted, nor undone and acknowledged."""
        return self._rewritten.present

    @property
    def has_failed(self) -> bool:
        """Whether the last try to get a verdict gave none."""
        return bool(self._failure)

    @property
    def period_s(self) -> float:
        """From the start of one walk to that of the next."""
        return self._walks.period_s

    @property
    def walking_since_s(self) -> float | None:
        """When the walk that runs was asked for."""
        return self._walks.since_s

    def next_verify_in_s(self, now_s: float) -> float:
        """How long to wait before asking for the next verdict; a whole period while one is under way."""
        return self._walks.next_in_s(now_s)

    @property
    def last_verdict(self) -> Verdict | None:
        """What the daemon said last."""
        return None if self.latest is None else self.latest.verdict

    def said_of(self, event_id: int) -> str:
        """What stands against an event and by whom, in a few words; "" for nothing."""
        if event_id in self._daemon.ids:
            return f"{self.verifier.words} says: {self._daemon.ids[event_id]}"
        return self._own.ids.get(event_id, "")

    @property
    def verified_head(self) -> Head | None:
        """The newest head that the daemon's last verdict and this console agree on; None while they do not."""
        return None if self.good is None else self.good.head

    @property
    def history(self) -> Sequence[Finding]:
        """What was found, by whom and when; the newest last."""
        return self._findings.entries

    # What the console sees itself

    def found_broken(self, row: Row, before: Row | None, *, now_ms: int, now_s: float) -> None:
        """An event came in whose check is BROKEN; `before` is what came before it, if that is known."""
        self._step += 1
        event_id, reason = row.event_id, _short(row.reason) or f"event #{row.event_id} is broken"
        if len(self.own_breaks) < _MAX_OWN_BREAKS or event_id in self.own_breaks:
            self.own_breaks[event_id] = OwnBreak(row, before)
        was_alarm = self._own.is_alarm and self._own.stands
        known = event_id in self._daemon.ids
        if not self._own.find(event_id, reason, acknowledged=known and self._daemon.acknowledged):
            return
        if event_id in self._own.ids:
            self._found_at.setdefault(event_id, self._step)
        if not was_alarm and not known:  # of a whole stream that is broken the first rings
            self._ringing[self._own] = None
        now, merge = self._findings.at(now_ms, now_s), was_alarm and self._findings.last_was("", Finder.CONSOLE)
        self._findings.add(Finder.CONSOLE, reason, now, good=False, merge=merge, event_id=event_id)
        self._compare_finders()

    def holds_again(self, event_id: int, now_s: float) -> None:
        """An event that this console found broken has been loaded again, and is linked."""
        self._step += 1
        if event_id in self._own.ids:
            self._own.release(event_id)
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
        if self._pending is not None and self._pending.head.event_id <= newest.event_id:
            judged, self._pending = self._pending, None
            self._weigh_head(judged, None)

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
        agreed_since = self.good is not None
        self.good = self._pending = None
        news = what or words.rewritten_reason(remembered, found)
        if (
            self.rewriting is None
            or not self._rewritten.stands
            or remembered.event_id < self.rewriting.remembered.event_id
        ):
            self.rewriting = Rewriting(remembered=remembered, found=found, found_ms=now_ms)
        was_alarm = self._rewritten.is_alarm and self._rewritten.stands
        if self._rewritten.find(remembered.event_id, news):
            if remembered.event_id in self._rewritten.ids:
                self._remembered[remembered.event_id] = remembered.hash
            if not was_alarm or agreed_since:  # several remembered heads differ after one rewriting
                self._ringing[self._rewritten] = None
            now = self._findings.at(now_ms, now_s)
            self._findings.add(Finder.CONSOLE, news, now, good=False, event_id=remembered.event_id)

    # What people are told

    def badge(self, now_s: float) -> Badge:
        """What the badge says now; an acknowledgement that follows speaks of this."""
        if not self._online and self._offline_since_s is None:
            self._offline_since_s = now_s
        alarms = [red for red in self._reds if red.is_alarm]
        group = _most_urgent(alarms)
        self._shown = {red: red.finds for red in group}
        if group:
            return words.red(group, self._reds, self.verifier, offline=not self._online)
        acknowledged = _most_urgent([red for red in self._reds if red.present])
        if not self._online:
            since_s = now_s if self._offline_since_s is None else self._offline_since_s
            return words.offline(self._offline_reason, now_s - since_s, acknowledged, self._reds, self.verifier)
        if acknowledged:
            return words.red(acknowledged, self._reds, self.verifier)
        return words.calm(self, self._failure, now_s)

    def acknowledge(self, now_s: float) -> bool:
        """A person has seen what the last `badge` said, which silences it; False when there was nothing to see.

        What was found since then, unseen, stays an alarm. A history that was rewritten is not accepted by that.
        """
        seen = [red for red, finds in self._shown.items() if red.is_alarm and red.finds == finds]
        if not seen:
            return False
        text = words.red(seen, self._reds, self.verifier).text.removesuffix(": acknowledge")
        for red in seen:
            self._ringing.pop(red, None)
            red.acknowledge()
        self._shown = {}
        self._findings.add(Finder.PERSON, f"acknowledged: {text}", self._findings.estimated(now_s), good=True)
        if self._rewritten in seen:
            self._acknowledged_up_to = self.newest.event_id if self.newest else 0
            self._settle_rewriting()
        return True

    def accept(self, now_s: float) -> None:
        """A person takes the history that there is now for the true one: nothing is held against it any more.

        The remembered heads that contradict it must have been forgotten. It is verified with the next verdict.
        """
        if not self._rewritten.present:
            return
        text = words.red([self._rewritten], self._reds, self.verifier).text.partition(":")[0]
        self._ringing.pop(self._rewritten, None)
        self._rewritten.acknowledge()
        self._rewritten.release_all()
        self._remembered.clear()
        self.good = self._pending = self.latest = None
        if self._asked is not None:  # that walk was asked for when another history had been seen
            self._asked = self._step, None
        what = f"accepted the history that there is now, after {text}"
        self._findings.add(Finder.PERSON, what, self._findings.estimated(now_s), good=True)

    def alarms(self, now_s: float) -> list[Alarm]:
        """The reds that are new since the last call: each once."""
        del now_s  # taken like everywhere here
        ringing = [red for red in self._ringing if red.is_alarm]
        self._ringing.clear()
        shown = [words.red([red], self._reds, self.verifier) for red in ringing]
        return [
            Alarm(state=badge.state, text=badge.text, detail=badge.detail, event_id=red.first_id)
            for red, badge in zip(ringing, shown, strict=True)
        ]

    # Weighing one against the other

    def _weigh_break(self, verdict: Verdict) -> None:
        at = _break_at(verdict)
        if at is None:
            self._daemon.release_all()
            return
        self.good = self._pending = None
        for event_id in [event_id for event_id in self._daemon.ids if event_id < at]:
            self._daemon.release(event_id)
        known = at in self._own.ids
        reason = _short(verdict.reason or "") or f"the chain does not hold at event #{at}"
        if self._daemon.find(at, reason, acknowledged=known and self._own.acknowledged) and not known:
            self._ringing[self._daemon] = None

    def _weigh_head(self, judged: Judged, newest_before: Head | None) -> None:
        """Compare the verdict's head with what was seen; `newest_before` was there when the walk was asked for."""
        head = judged.head
        seen = self._hash_of_seen(head.event_id) if head.event_id else head.hash
        if seen is not None and seen != head.hash and head.event_id not in self._own.ids:
            self._contradicted(Head(head.event_id, seen), head, judged.at)
        elif not judged.verdict.valid:
            return
        elif newest_before is not None and head.event_id < newest_before.event_id:
            self._contradicted(newest_before, None, judged.at)
        elif seen is None and (self.newest is None or head.event_id > self.newest.event_id):
            self._pending = judged  # told before it was received
        else:
            self.good = msgspec.structs.replace(judged, matched=seen == head.hash)
            self._settle_rewriting()

    def _settle_rewriting(self) -> None:
        """After a verdict that agrees with what is seen: a rewriting that was undone is over.

        A verdict alone settles nothing: whoever rewrites a history leaves one that is valid.
        """
        if self.good is None or not self.good.matched or self.good.step <= self._rewritten_at:
            return
        if self._all_there_again():
            self._rewritten.release_all()
            self._remembered.clear()

    def _all_there_again(self) -> bool:
        """Whether the history that was seen linked holds every remembered event that had been found missing."""
        newest_id = self.newest.event_id if self.newest is not None else 0
        return not self._rewritten.more and all(
            max(self.linked_from, 1) <= event_id <= newest_id and self._hash_of_seen(event_id) == hash_
            for event_id, hash_ in self._remembered.items()
        )

    def _contradicted(self, remembered: Head, found: Head | None, now: Moment) -> None:
        """A verdict contradicts what was seen: once, though it does so for every event of what was seen before."""
        self.good = self._pending = None
        red = self._rewritten
        if not (red.present and red.stands and red.acknowledged and remembered.event_id <= self._acknowledged_up_to):
            self.history_differs(remembered, found, now_ms=now.wall_ms, now_s=now.monotonic_s)

    def _compare_finders(self) -> None:
        """Set what the daemon and this console hold against each other."""
        if self.latest is None:
            return
        verdict, at = self.latest.verdict, _break_at(self.latest.verdict)
        up_to = verdict.head.event_id if verdict.head is not None else verdict.checked
        overlooked = [
            event_id
            for event_id, found_at in self._found_at.items()
            if found_at < self.latest.step and event_id <= up_to and (at is None or event_id < at)
        ]
        if self._own.disagree(words.overlooked(min(overlooked), at, self.verifier) if overlooked else ""):
            self._ringing[self._own] = None
        accused = at is not None and at in self._daemon.ids and at not in self._own.ids
        if not accused or at is None:
            self._daemon.disagree("")
        elif not self._daemon.disagreement and self._seen_whole(at):
            self._daemon.disagree(words.seen_whole(at, self.verifier))
            self._ringing[self._daemon] = None

    def _seen_whole(self, event_id: int) -> bool:
        """Whether this console holds the event and the one before it, and found neither broken."""
        needed = [event_id] if event_id == 1 else [event_id - 1, event_id]
        return all(self._hash_of_seen(each) is not None and each not in self._own.ids for each in needed)

    def _log_verdict(self, judged: Judged) -> None:
        verdict, at = judged.verdict, _break_at(judged.verdict)
        history = self._findings.entries
        self._findings.add(
            Finder.DAEMON,
            _WHAT_HOLDS[isinstance(verdict, PartVerdict)]
            if at is None
            else _short(verdict.reason or f"broken at event #{at}"),
            judged.at,
            good=at is None,
            merge=at is None or (bool(history) and history[-1].event_id == at),
            checked=verdict.checked,
            head=verdict.head,
            duration_ms=verdict.duration_ms,
            event_id=at,
        )


def _break_at(verdict: Verdict) -> int | None:
    """Where the chain fails to hold; a daemon that says so without saying where means what it checked last."""
    if verdict.valid:
        return None
    return verdict.checked + 1 if verdict.first_break_at is None else verdict.first_break_at


def _most_urgent(reds: list[Red]) -> list[Red]:
    """The reds that are shown together: those in disagreement first, then a rewritten history, then breaks."""
    broken = [red for red in reds if red.state is State.BROKEN]
    if any(red.disagreement for red in broken):
        return broken
    return [red for red in reds if red.state is State.REWRITTEN] or broken


def _short(text: str) -> str:
    return safe(text[:_MAX_REASON])
