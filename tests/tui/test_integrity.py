from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit_stream.chain import GENESIS, Head, Verdict
from audit_stream.kinds import Severity
from audit_tui.model.alerts import AlertKind
from audit_tui.model.badge import Badge, State, badge_of
from audit_tui.model.findings import MAX_FINDINGS, Finder
from audit_tui.model.integrity import Integrity
from audit_tui.model.integrity_report import accepted_lines, around_lines, finding_lines, known_lines
from audit_tui.model.rows import Check, Row
from audit_tui.model.verdicts import DAEMON, FILE, Verifier, verifier_of
from audit_tui.storage.heads import Accepted, RememberedHead

START_MS = 1_700_000_000_000


def hash_at(event_id: int, history: str = "a") -> str:
    return f"{history}{event_id:063x}" if event_id else GENESIS.hash


def head(event_id: int, history: str = "a") -> Head:
    return Head(event_id, hash_at(event_id, history))


def valid(event_id: int, history: str = "a", duration_ms: int = 5) -> Verdict:
    return Verdict(
        valid=True,
        checked=event_id,
        first_break_at=None,
        reason=None,
        head=head(event_id, history),
        duration_ms=duration_ms,
    )


def broken(event_id: int, reason: str = "") -> Verdict:
    return Verdict(
        valid=False,
        checked=event_id - 1,
        first_break_at=event_id,
        reason=reason or f"hash mismatch at event #{event_id}",
        head=head(event_id - 1),
        duration_ms=5,
    )


def broken_row(event_id: int) -> Row:
    return Row(
        event_id=event_id,
        kind="other",
        source="test",
        severity=Severity.INFO,
        raw=b"",
        check=Check.BROKEN,
        reason=f"hash mismatch at event #{event_id}",
    )


class Rig:
    """An Integrity with a clock that only the test moves, and a memory of events 1 to `newest`."""

    def __init__(self, newest: int = 100, *, first_seen: int = 1, verifier: Verifier = DAEMON) -> None:
        self.now_s = 1000.0
        self.seen = {event_id: hash_at(event_id) for event_id in range(first_seen, newest + 1)}
        self.integrity = Integrity(self.seen.get, verify_every_s=30.0, verifier=verifier)
        self.integrity.connected()
        if newest:
            self.integrity.chain_grew(first_seen, head(newest))

    @property
    def times(self) -> dict[str, Any]:
        return {"now_ms": START_MS + round(self.now_s * 1000), "now_s": self.now_s}

    @property
    def badge(self) -> Badge:
        return self.integrity.badge(self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    def verify(self, verdict: Verdict, *, takes_s: float = 0.0) -> None:
        self.integrity.verification_started(self.now_s)
        self.wait(takes_s)
        self.integrity.verification_ended(verdict, **self.times)

    def fail(self, reason: str = "silent") -> None:
        self.integrity.verification_started(self.now_s)
        self.integrity.verification_failed(reason, **self.times)

    def receive(self, newest: int, *, linked_from: int = 1) -> None:
        for event_id in range(linked_from, newest + 1):
            self.seen.setdefault(event_id, hash_at(event_id))
        self.integrity.chain_grew(linked_from, head(newest))

    def find_broken(self, event_id: int) -> None:
        self.integrity.found_broken(broken_row(event_id), None, **self.times)

    def differ(self, remembered: Head, found: Head | None) -> None:
        self.integrity.history_differs(remembered, found, **self.times)

    def acknowledge(self) -> bool:
        self.integrity.badge(self.now_s)
        return self.integrity.acknowledge(self.now_s)

    def accept(self) -> None:
        self.integrity.accept(self.now_s)

    def rings(self) -> list[int | None]:
        return [alarm.event_id for alarm in self.integrity.new_alerts()]


def _verified(rig: Rig) -> None:
    rig.verify(valid(100))


def _grown(rig: Rig) -> None:
    rig.verify(valid(100))
    rig.receive(120)
    rig.wait(12)


def _gap(rig: Rig) -> None:
    rig.verify(valid(100))
    rig.receive(200, linked_from=150)


def _verifying(rig: Rig) -> None:
    rig.integrity.verification_started(rig.now_s)
    rig.wait(3)


def _stale(rig: Rig) -> None:
    rig.verify(valid(100))
    rig.wait(240)


def _stale_and_verifying(rig: Rig) -> None:
    _stale(rig)
    rig.integrity.verification_started(rig.now_s)


def _offline(rig: Rig) -> None:
    rig.verify(valid(100))
    rig.integrity.disconnected("no daemon answers")
    rig.integrity.badge(rig.now_s)
    rig.wait(7)


def _offline_red(rig: Rig) -> None:
    rig.verify(broken(42))
    rig.integrity.disconnected("no daemon answers")


def _offline_seen_red(rig: Rig) -> None:
    rig.verify(broken(42))
    rig.acknowledge()
    rig.integrity.disconnected("no daemon answers")


def _ahead(rig: Rig) -> None:
    rig.verify(valid(105))


def _evicted(rig: Rig) -> None:
    del rig.seen[100]
    rig.verify(valid(100))


def _not_asked(rig: Rig) -> None:
    pass


def _failed(rig: Rig) -> None:
    rig.fail()


def _failed_after_good(rig: Rig) -> None:
    rig.verify(valid(100))
    rig.fail()


def _broken(rig: Rig) -> None:
    rig.verify(broken(142))


def _own(rig: Rig) -> None:
    rig.find_broken(42)


def _own_twice(rig: Rig) -> None:
    rig.find_broken(42)
    rig.find_broken(43)


def _repaired(rig: Rig) -> None:
    rig.verify(broken(42))
    rig.verify(valid(100))


def _seen(rig: Rig) -> None:
    rig.verify(broken(142))
    rig.acknowledge()


def _seen_and_repaired(rig: Rig) -> None:
    _seen(rig)
    rig.verify(valid(100))


def _rewritten(rig: Rig) -> None:
    rig.differ(head(90), head(90, "b"))


def _gone(rig: Rig) -> None:
    rig.differ(head(90), None)


def _shorter(rig: Rig) -> None:
    rig.verify(valid(50))


def _contradicted(rig: Rig) -> None:
    rig.verify(valid(100, "b"))


def _verified_as_it_is_now(rig: Rig) -> None:
    rig.seen[90] = hash_at(90, "b")
    rig.differ(head(90), head(90, "b"))
    rig.verify(valid(100))


def _put_back(rig: Rig) -> None:
    rig.verify(valid(100, "b"))
    rig.verify(valid(100))


def _stream_stands_still(rig: Rig) -> None:
    for newest in range(100, 106):
        rig.verify(valid(newest))
        rig.wait(30)


def _stream_and_verdicts_stand_still(rig: Rig) -> None:
    _stream_stands_still(rig)
    rig.wait(90)


def _valid_and_broken(rig: Rig) -> None:
    rig.verify(msgspec.structs.replace(valid(100), first_break_at=42))


def _nameless(rig: Rig) -> None:
    rig.verify(Verdict(valid=True, checked=100, first_break_at=None, reason=None))


STATES: list[tuple[Callable[[Rig], None], State, str]] = [
    (_not_asked, State.UNVERIFIED, "UNVERIFIED no verdict yet"),
    (_verifying, State.VERIFYING, "VERIFYING for 3 s"),
    (_verified, State.VERIFIED, "VERIFIED 100 events · now"),
    (_grown, State.VERIFIED, "VERIFIED 120 events · 12 s ago"),
    (_evicted, State.VERIFIED, "VERIFIED 100 events · now"),
    (_failed_after_good, State.STALE, "STALE last verdict now, no newer one"),
    (_gap, State.UNVERIFIED, "UNVERIFIED links not seen since #100"),
    (_ahead, State.UNVERIFIED, "UNVERIFIED #105 not received yet"),
    (_failed, State.UNVERIFIED, "UNVERIFIED no verdict"),
    (_nameless, State.UNVERIFIED, "UNVERIFIED the verdict names no head"),
    (_stale, State.STALE, "STALE last verdict 4 min ago"),
    (_stream_stands_still, State.UNVERIFIED, "UNVERIFIED #105 not received yet"),
    (_stream_and_verdicts_stand_still, State.STALE, "STALE last verdict 4 min ago"),
    (_stale_and_verifying, State.STALE, "STALE last verdict 4 min ago, verifying"),
    (_offline, State.OFFLINE, "OFFLINE for 7 s"),
    (_offline_red, State.BROKEN, "BROKEN at #42 · they disagree"),
    (_offline_seen_red, State.OFFLINE, "OFFLINE · BROKEN at #42 · they disagree · acknowledged"),
    (_broken, State.BROKEN, "BROKEN at #142"),
    (_valid_and_broken, State.BROKEN, "BROKEN at #42 · they disagree"),
    (_own, State.BROKEN, "BROKEN at #42"),
    (_own_twice, State.BROKEN, "BROKEN at #42 and 1 more"),
    (_repaired, State.BROKEN, "was BROKEN at #42, holds again: acknowledge"),
    (_seen, State.BROKEN, "BROKEN at #142 · acknowledged"),
    (_seen_and_repaired, State.VERIFIED, "VERIFIED 100 events · now"),
    (_rewritten, State.REWRITTEN, "REWRITTEN at #90"),
    (_gone, State.REWRITTEN, "REWRITTEN at #90"),
    (_shorter, State.REWRITTEN, "REWRITTEN at #100"),
    (_contradicted, State.REWRITTEN, "REWRITTEN at #100"),
    (_verified_as_it_is_now, State.REWRITTEN, "REWRITTEN at #90"),
    (_put_back, State.REWRITTEN, "was REWRITTEN at #100, holds again: acknowledge"),
]


@pytest.mark.parametrize(("happens", "state", "text"), STATES, ids=[row[0].__name__.strip("_") for row in STATES])
def test_what_happens_decides_the_state(happens: Callable[[Rig], None], state: State, text: str) -> None:
    rig = Rig()
    happens(rig)
    assert (rig.badge.state, rig.badge.text) == (state, text)


def _found_by_both(rig: Rig) -> None:
    rig.find_broken(42)
    rig.verify(broken(42))


def _overlooked(rig: Rig) -> None:
    rig.find_broken(42)
    rig.verify(valid(100))


def _accused(rig: Rig) -> None:
    rig.verify(broken(42))


@pytest.mark.parametrize("happens", [*(row[0] for row in STATES), _found_by_both, _overlooked, _accused])
def test_of_a_file_nothing_is_said_to_be_a_daemon_s(happens: Callable[[Rig], None]) -> None:
    rig = Rig(verifier=FILE)
    happens(rig)
    said = [rig.badge.text, rig.badge.detail, rig.badge.disagreement]
    said += [*known_lines(rig.integrity), *finding_lines(rig.integrity)]
    reason = "no daemon answers"  # of the ones who are cut off here, as the log words it
    assert not [text for text in said if "daemon" in text.lower().replace(reason, "")]


@pytest.mark.parametrize(
    ("happens", "detail"),
    [
        (_found_by_both, "Found by both, the walk over the file and this console: hash mismatch at event #42."),
        (_broken, "Found by the walk over the file: hash mismatch at event #142."),
        (_overlooked, "They disagree: the walk over the file says valid, this console found #42 broken."),
        (_verified, "The walk over the file checked 100 events, up to #100, whose hash is the one received here."),
    ],
)
def test_of_a_file_the_walk_over_it_is_named(happens: Callable[[Rig], None], detail: str) -> None:
    rig = Rig(verifier=FILE)
    happens(rig)
    assert rig.badge.detail == detail


@pytest.mark.parametrize(
    ("url", "verifier"), [("http://10.0.0.5:8093", DAEMON), ("audit.db", FILE), ("/a/http://b", FILE)]
)
def test_who_judges_a_log_is_told_by_its_address(url: str, verifier: Verifier) -> None:
    assert verifier_of(url) == verifier


def test_a_log_not_connected_to_yet_is_offline() -> None:
    integrity = Integrity(lambda event_id: None)
    assert integrity.badge(5.0).state is State.OFFLINE


def test_an_empty_log_is_verified() -> None:
    rig = Rig(0)
    rig.verify(valid(0))
    assert rig.badge.text == "VERIFIED 0 events · now"
    rig.receive(1)
    assert rig.badge.text == "VERIFIED 1 event · now"
    rig.receive(3)
    assert rig.badge.text == "VERIFIED 3 events · now"


def test_a_verdict_on_events_not_received_yet_counts_once_they_are() -> None:
    rig = Rig()
    rig.verify(valid(105))
    rig.receive(107)
    assert rig.badge.text == "VERIFIED 107 events · now"


def test_a_verdict_on_events_not_received_yet_is_compared_once_they_are() -> None:
    rig = Rig()
    rig.verify(valid(105, "b"))
    rig.receive(107)
    assert rig.badge.state is State.REWRITTEN


def test_a_later_verdict_not_received_yet_leaves_the_earlier_one() -> None:
    rig = Rig()
    rig.verify(valid(100))
    rig.wait(30)
    rig.verify(valid(105))
    assert rig.badge.text == "VERIFIED 100 events · 30 s ago"


def test_a_verdict_need_not_know_of_events_that_came_in_during_its_verification() -> None:
    rig = Rig()
    rig.integrity.verification_started(rig.now_s)
    rig.receive(150)
    rig.integrity.verification_ended(valid(100), **rig.times)
    assert rig.badge.state is State.VERIFIED


def test_both_finding_the_same_break_ring_once_and_are_both_named() -> None:
    rig = Rig(41)
    rig.find_broken(42)
    rig.verify(broken(42))
    assert rig.rings() == [42]
    assert "both" in rig.badge.detail
    assert rig.badge.disagreement == ""


def test_a_daemon_that_says_valid_of_what_the_console_found_broken_is_a_new_alarm_naming_both() -> None:
    rig = Rig()
    rig.find_broken(42)
    assert rig.rings() == [42]
    rig.acknowledge()
    rig.verify(valid(100))
    assert rig.rings() == [42]
    assert rig.badge.state is State.BROKEN
    assert rig.badge.is_alarm
    assert rig.badge.disagreement == "the daemon says valid, this console found #42 broken"


def test_a_verification_that_began_before_the_console_found_the_break_is_no_disagreement() -> None:
    rig = Rig()
    rig.integrity.verification_started(rig.now_s)
    rig.find_broken(42)
    rig.integrity.verification_ended(valid(100), **rig.times)
    assert rig.badge.disagreement == ""
    assert rig.badge.state is State.BROKEN


def test_a_daemon_that_breaks_later_than_the_console_disagrees_too() -> None:
    rig = Rig()
    rig.find_broken(42)
    rig.verify(broken(142))
    assert rig.badge.disagreement == "the daemon says the first break is #142, this console found #42 broken"


def test_a_daemon_that_says_broken_where_the_console_saw_links_disagrees_in_one_alarm() -> None:
    rig = Rig()
    rig.verify(broken(42))
    assert "this console received it whole" in rig.badge.disagreement
    assert rig.rings() == [42]


def test_the_disagreement_does_not_ring_again_with_each_verdict_or_when_the_event_leaves_memory() -> None:
    rig = Rig()
    rig.verify(broken(42))
    rig.rings()
    rig.acknowledge()
    del rig.seen[42]
    rig.verify(broken(42))
    assert rig.rings() == []
    assert rig.badge.is_acknowledged
    assert rig.badge.disagreement


def test_the_same_break_does_not_ring_again_and_a_new_one_does() -> None:
    rig = Rig(10)
    rig.verify(broken(42))
    assert rig.rings() == [42]
    rig.verify(broken(42))
    assert rig.rings() == []
    rig.acknowledge()
    rig.verify(broken(17))
    assert rig.rings() == [17]
    assert rig.badge.is_alarm
    assert rig.badge.text == "BROKEN at #17 and 1 more"


def test_a_break_that_was_repaired_and_acknowledged_rings_when_it_comes_back() -> None:
    rig = Rig(10)
    rig.verify(broken(42))
    rig.verify(valid(10))
    rig.acknowledge()
    rig.rings()
    rig.verify(broken(42))
    assert rig.rings() == [42]


def test_acknowledging_clears_only_what_was_shown() -> None:
    rig = Rig(10)
    rig.verify(broken(42))
    rig.integrity.badge(rig.now_s)
    rig.verify(broken(17))
    rig.integrity.acknowledge(rig.now_s)
    assert rig.badge.is_alarm
    assert rig.badge.event_id == 17


def test_a_rewritten_history_and_a_break_are_acknowledged_one_after_the_other() -> None:
    rig = Rig()
    rig.verify(broken(142))
    rig.differ(head(90), None)
    assert rig.badge.text == "REWRITTEN at #90"
    assert rig.acknowledge() is True
    assert rig.badge.text == "BROKEN at #142"
    assert rig.badge.is_alarm
    assert rig.acknowledge() is True
    assert not rig.badge.is_alarm
    assert rig.acknowledge() is False


def test_a_stream_that_is_broken_from_end_to_end_rings_once_and_stays_bounded() -> None:
    rig = Rig()
    for event_id in range(101, 5101):
        rig.find_broken(event_id)
    assert rig.rings() == [101]
    assert rig.badge.text == "BROKEN at #101 and 4,999 more"
    assert len(rig.integrity.own_breaks) < 100
    assert len(rig.integrity.findings) == 1


def test_an_event_loaded_again_whole_holds_again_and_waits_for_a_person() -> None:
    rig = Rig()
    rig.verify(valid(100))
    rig.find_broken(42)
    rig.integrity.holds_again(42, rig.now_s)
    assert rig.badge.text == "was BROKEN at #42, holds again: acknowledge"
    rig.acknowledge()
    assert rig.badge.state is State.VERIFIED


def test_several_remembered_heads_that_differ_are_one_alarm_at_the_earliest() -> None:
    rig = Rig()
    rig.differ(head(90), None)
    rig.differ(head(80), head(80, "b"))
    assert len(rig.rings()) == 1
    assert rig.badge.event_id == 80
    assert rig.integrity.rewriting is not None
    assert rig.integrity.rewriting.remembered == head(80)


def test_what_was_seen_before_a_rewriting_was_acknowledged_does_not_ring_again() -> None:
    rig = Rig()
    rig.verify(valid(100, "b"))
    rig.acknowledge()
    rig.rings()
    rig.verify(valid(99, "b"))
    assert rig.rings() == []
    assert rig.badge.is_acknowledged


def test_a_history_accepted_in_place_of_another_is_verified_once_it_agrees_with_what_is_seen() -> None:
    rig = Rig()
    rig.differ(head(100), None)
    rig.accept()
    assert rig.badge.text == "UNVERIFIED no verdict yet"
    rig.seen.clear()
    rig.seen.update({event_id: hash_at(event_id, "b") for event_id in range(1, 51)})
    rig.integrity.chain_grew(1, head(50, "b"))
    rig.verify(valid(50, "b"))
    assert rig.badge.state is State.VERIFIED
    rig.differ(head(50, "b"), None)
    assert rig.badge.is_alarm


def test_a_rewritten_history_is_not_believed_because_its_alarm_was_silenced() -> None:
    rig = Rig()
    _verified_as_it_is_now(rig)
    assert rig.acknowledge()
    for _ in range(3):
        rig.wait(30)
        rig.verify(valid(100))
        assert (rig.badge.text, rig.badge.is_alarm) == ("REWRITTEN at #90 · acknowledged", False)
        assert rig.rings() == []
    assert rig.integrity.is_rewritten


def test_a_rewritten_history_is_believed_with_the_first_verdict_after_a_person_accepted_it() -> None:
    rig = Rig()
    _verified_as_it_is_now(rig)
    rig.accept()
    assert not rig.integrity.is_rewritten
    assert rig.badge.state is State.UNVERIFIED
    rig.verify(valid(100))
    assert rig.badge.text == "VERIFIED 100 events · now"
    assert rig.integrity.findings[-2].what == "accepted the history that there is now, after REWRITTEN at #90"


def test_a_verification_that_was_under_way_when_a_history_was_accepted_does_not_contradict_it() -> None:
    rig = Rig()
    rig.differ(head(100), None)
    rig.integrity.verification_started(rig.now_s)  # when 100 events had been seen
    rig.accept()
    rig.seen.clear()
    rig.receive(50)
    rig.integrity.verification_ended(valid(50), **rig.times)
    assert rig.badge.state is State.VERIFIED


def test_accepting_when_nothing_was_rewritten_changes_nothing() -> None:
    rig = Rig()
    rig.verify(valid(100))
    rig.find_broken(42)
    rig.accept()
    assert (rig.badge.state, rig.badge.is_alarm) == (State.BROKEN, True)


def test_a_history_rewritten_again_rings_again_though_nobody_has_acknowledged_the_first_time() -> None:
    rig = Rig()
    _verified_as_it_is_now(rig)
    assert rig.rings() == [90]
    rig.differ(head(95), None)
    assert len(rig.rings()) == 1


@pytest.mark.parametrize(("takes_s", "period_s"), [(0.1, 30.0), (3.0, 30.0), (20.0, 200.0)])
def test_verification_fills_at_most_a_tenth_of_the_time(takes_s: float, period_s: float) -> None:
    rig = Rig()
    rig.verify(valid(100), takes_s=takes_s)
    assert rig.integrity.verdicts.period_s == pytest.approx(period_s)
    assert rig.integrity.verdicts.next_in_s(rig.now_s) == pytest.approx(period_s - takes_s)


def test_what_the_daemon_says_a_verification_took_stretches_the_period_but_cannot_stop_verification() -> None:
    rig = Rig()
    rig.verify(valid(100, duration_ms=10_000))
    assert rig.integrity.verdicts.period_s == 100.0
    rig.verify(valid(100, duration_ms=10**15))
    assert rig.integrity.verdicts.period_s == 3600.0
    rig.verify(valid(100, duration_ms=-(10**15)))
    assert rig.integrity.verdicts.period_s == 30.0


@pytest.mark.parametrize("takes_s", [0.1, 20.0, 400.0])
def test_an_overdue_verdict_is_not_green_and_one_that_is_not_due_yet_is(takes_s: float) -> None:
    rig = Rig()
    rig.verify(valid(100), takes_s=takes_s)
    due_s = rig.integrity.verdicts.period_s
    rig.wait(due_s)
    assert rig.badge.text.startswith("VERIFIED")
    rig.integrity.verification_started(rig.now_s)  # and it never ends
    rig.wait(due_s)
    assert rig.badge.text.startswith("STALE")
    rig.integrity.verification_ended(valid(100), **rig.times)
    assert rig.badge.text.startswith("VERIFIED")


def test_a_verdict_that_was_refused_is_unknown_until_the_next_one() -> None:
    rig = Rig()
    rig.verify(valid(100))
    rig.fail("the verification has not ended in time")
    assert rig.badge.text.startswith("STALE")
    assert "The last try failed: the verification has not ended in time." in rig.badge.detail
    rig.verify(valid(100))
    assert rig.badge.text.startswith("VERIFIED")


def test_the_first_verdict_is_due_at_once_and_the_next_a_period_after_a_failure() -> None:
    rig = Rig()
    assert rig.integrity.verdicts.next_in_s(rig.now_s) == 0.0
    rig.fail()
    assert rig.integrity.verdicts.next_in_s(rig.now_s + 10) == pytest.approx(20.0)


def test_good_verdicts_in_a_row_are_one_finding() -> None:
    rig = Rig()
    for newest in (100, 110, 120):
        rig.receive(newest)
        rig.verify(valid(newest))
        rig.wait(30)
    (finding,) = rig.integrity.findings
    assert (finding.times, finding.checked, finding.last_ms - finding.first_ms) == (3, 120, 60_000)


def test_the_log_says_who_found_what_and_who_acknowledged() -> None:
    rig = Rig(41)
    rig.verify(valid(41))
    rig.find_broken(42)
    rig.acknowledge()
    rig.fail("silent")
    rig.fail("silent")
    told = [(finding.by, finding.what, finding.times) for finding in rig.integrity.findings]
    assert told == [
        (Finder.DAEMON, "the whole chain holds", 1),
        (Finder.CONSOLE, "hash mismatch at event #42", 1),
        (Finder.PERSON, "acknowledged: BROKEN at #42", 1),
        (Finder.DAEMON, "no verdict: silent", 2),
    ]


def test_the_log_of_findings_is_bounded() -> None:
    rig = Rig(10)
    for _ in range(MAX_FINDINGS):
        rig.verify(broken(42))
        rig.verify(valid(10))
    assert len(rig.integrity.findings) == MAX_FINDINGS


def test_what_the_daemon_says_is_escaped_and_cut() -> None:
    rig = Rig(10)
    rig.verify(broken(42, "\x1b[2J" + "x" * 10_000))
    assert "\x1b" not in rig.badge.detail
    assert len(rig.badge.detail) < 400
    assert "\x1b" not in rig.integrity.findings[-1].what


STEPS: dict[str, Callable[[Rig, int], object]] = {
    "valid": lambda rig, n: rig.verify(valid(n)),
    "other": lambda rig, n: rig.verify(valid(n, "b")),
    "broken": lambda rig, n: rig.verify(broken(n)),
    "own": lambda rig, n: rig.find_broken(n),
    "holds": lambda rig, n: rig.integrity.holds_again(n, rig.now_s),
    "differ": lambda rig, n: rig.differ(head(n), head(n, "b")),
    "gone": lambda rig, n: rig.differ(head(n), None),
    "grow": lambda rig, n: rig.receive(n),
    "gap": lambda rig, n: rig.integrity.chain_grew(n, head(n)),
    "forget": lambda rig, n: rig.seen.pop(n, None),
    "fail": lambda rig, n: rig.fail(),
    "start": lambda rig, n: rig.integrity.verification_started(rig.now_s),
    "up": lambda rig, n: rig.integrity.connected(),
    "down": lambda rig, n: rig.integrity.disconnected("gone"),
    "wait": lambda rig, n: rig.wait(10.0 * n),
    "acknowledge": lambda rig, n: rig.integrity.acknowledge(rig.now_s),
}
RED_STEPS = {"broken", "own", "differ", "gone"}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 12)), max_size=40))
def test_a_red_is_never_lost_without_an_acknowledgement_and_rings_when_it_is_new(steps: list[tuple[str, int]]) -> None:
    rig = Rig(6)
    for step, number in steps:
        before = rig.badge
        STEPS[step](rig, number)
        after = rig.badge
        rang = rig.rings()
        if step != "acknowledge":
            assert after.is_alarm or not before.is_alarm
            assert not rang or after.is_alarm
        if after.is_alarm and not before.is_alarm:
            assert rang
        if step in RED_STEPS:
            assert after.state.is_red or after.is_acknowledged
        if after.is_alarm:
            assert after.state.is_red


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 12)), max_size=30))
def test_verified_is_never_said_of_what_the_console_has_not_seen_linked(steps: list[tuple[str, int]]) -> None:
    rig = Rig(6)
    for step, number in steps:
        STEPS[step](rig, number)
        if rig.badge.state is State.VERIFIED:
            good, newest = rig.integrity.verdicts.last_agreed, rig.integrity.newest
            assert good is not None
            assert newest is not None
            assert good.verdict.valid
            assert rig.integrity.linked_from <= good.head.event_id <= newest.event_id
            assert rig.integrity.last_verdict is not None
            assert rig.integrity.last_verdict.valid


random_steps = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 8)), max_size=40)


@given(random_steps)
@example([("own", 6), ("other", 6), ("holds", 6), ("acknowledge", 1)])
def test_verified_is_never_said_beside_an_alert_or_of_another_head_than_was_seen(steps: list[tuple[str, int]]) -> None:
    rig = Rig(6)
    for step, number in steps:
        STEPS[step](rig, number)
        if rig.badge.state is State.VERIFIED:
            snapshot = rig.integrity.snapshot(rig.now_s)
            assert not [alert for alert in snapshot.alerts if alert.is_present]
            assert snapshot.last_agreed is not None
            agreed = snapshot.last_agreed.head
            assert rig.seen.get(agreed.event_id, agreed.hash) == agreed.hash


@given(random_steps)
def test_acknowledging_removes_nothing_that_still_stands(steps: list[tuple[str, int]]) -> None:
    rig = Rig(6)
    for step, number in [*steps, ("acknowledge", 1)]:
        rig.integrity.badge(rig.now_s)
        before = rig.integrity.snapshot(rig.now_s).alerts
        STEPS[step](rig, number)
        after = rig.integrity.snapshot(rig.now_s).alerts
        assert all(alert.is_present for alert in after if alert.stands)
        if step != "acknowledge":
            continue
        for was, now in zip(before, after, strict=True):
            there_again = was.kind is AlertKind.REWRITTEN and all(
                rig.seen.get(each) == hash_at(each) for each in was.ids
            )
            assert (now.ids, now.more) == (was.ids, was.more) or there_again


@given(random_steps)
def test_a_badge_is_the_same_for_the_same_snapshot(steps: list[tuple[str, int]]) -> None:
    rig = Rig(6)
    for step, number in steps:
        before = rig.integrity.snapshot(rig.now_s)
        said = badge_of(before)
        assert said == rig.badge
        STEPS[step](rig, number)
        assert badge_of(before) == said


def test_the_events_around_a_break_stand_in_columns_whatever_their_numbers() -> None:
    from audit_stream.client import RawEvent
    from audit_stream.kinds import DEFAULT_KINDS
    from audit_tui.model.rows import read_row
    from tests.tui.fake_log import make_log

    rows = [read_row(RawEvent(raw), DEFAULT_KINDS) for raw in make_log(12).raw[7:]]
    lines = around_lines(rows, 9)
    assert len({line.index("2026-") for line in lines}) == 1
    assert max(map(len, lines)) <= 77  # what 80 columns leave, so that no hash is cut


def test_a_daemon_that_has_not_checked_all_of_it_has_not_verified_it() -> None:
    rig = Rig(60)
    rig.verify(msgspec.structs.replace(valid(60), checked=5))
    assert (rig.badge.state, rig.badge.text) == (State.UNVERIFIED, "UNVERIFIED 5 of 60 events checked")
    rig.verify(msgspec.structs.replace(valid(60), checked=60))
    assert rig.badge.state is State.VERIFIED


def test_an_export_of_a_part_of_the_log_is_checked_whole_with_the_events_it_has() -> None:
    rig = Rig(60, first_seen=51, verifier=FILE)
    rig.verify(msgspec.structs.replace(valid(60), checked=10))
    assert rig.badge.text.startswith("VERIFIED 10 events")


def test_what_was_accepted_is_told_with_what_it_took_the_place_of() -> None:
    gone = RememberedHead(event_id=60, hash="ab" * 32, first_seen_ms=START_MS, last_seen_ms=START_MS)
    first = Accepted(at_ms=START_MS, event_id=9, hash="cd" * 32, given_up=gone)
    then = Accepted(at_ms=START_MS + 1000, event_id=0, hash="00" * 32)
    assert accepted_lines([first, then]) == [
        "2023-11-14 22:13:21Z accepted up to #0 000000000000",
        "2023-11-14 22:13:20Z accepted up to #9 cdcdcdcdcdcd in place of #60 abababababab",
    ]


def test_the_head_of_a_rewritten_history_is_told_to_be_another_event_before_its_hash() -> None:
    from audit_tui.model.integrity import Rewriting
    from audit_tui.model.integrity_report import rewriting_text

    rewriting = Rewriting(remembered=Head(400, "ab" * 32), found=Head(390, "cd" * 32), found_ms=START_MS)
    lines = rewriting_text(rewriting).splitlines()
    assert lines[2:] == [f"  expected {'ab' * 32}", "  the head now, #390:", f"           {'cd' * 32}"]
    assert max(map(len, lines)) <= 77
    same = msgspec.structs.replace(rewriting, found=Head(400, "cd" * 32))
    assert rewriting_text(same).splitlines()[3:] == [f"  found    {'cd' * 32}"]


@pytest.mark.parametrize("name", ["x" * 1000, "漢" * 100, "\u202e" * 100])
@pytest.mark.parametrize("width", [60, 77, 117])
def test_the_events_around_a_break_fit_whatever_their_names_are_and_no_hash_is_cut(name: str, width: int) -> None:
    from rich.cells import cell_len

    from audit_stream.client import RawEvent
    from audit_stream.kinds import DEFAULT_KINDS
    from audit_tui.model.rows import read_row

    fields = {"event_id": 12345, "timestamp": "2026-05-28T20:26:40Z", "payload": {}, "prev_hash": "a" * 64}
    event = {**fields, "kind": name, "source": name, "hash": "b" * 64}
    row = read_row(RawEvent(msgspec.json.encode(event)), DEFAULT_KINDS)
    (line,) = around_lines([row], 12345, width)
    assert cell_len(line) == width
    assert line.endswith(" bbbbbbbb←aaaaaaaa")
