from __future__ import annotations

from collections.abc import Sequence

from audit_stream.kinds import Severity
from audit_tui.model.activity import SPARK_BUCKET_S, SPARK_BUCKETS, Activity, Entry
from audit_tui.model.rows import Row

_DENIED, _ALLOWED, _TAMPERED = "request_denied", "request_allowed", "attestation_tampered"


class _Feed:
    """Rows with rising ids, into one Activity."""

    def __init__(self, activity: Activity) -> None:
        self.activity = activity
        self._last_id = 0

    def add(self, now_s: float, *pairs: tuple[str, str], live: bool = True) -> None:
        rows = []
        for kind, source in pairs:
            self._last_id += 1
            rows.append(_row(self._last_id, kind, source))
        self.activity.add_many(rows, now_s, live=live)

    def record(self, source: str, *, start_s: float, end_s: float, every_s: float) -> None:
        for step in range(int((end_s - start_s) / every_s) + 1):
            self.add(start_s + step * every_s, (_ALLOWED, source))


def _row(event_id: int, kind: str, source: str) -> Row:
    return Row(event_id=event_id, kind=kind, source=source, severity=Severity.INFO, raw=b"")


def _one(entries: Sequence[Entry], name: str) -> Entry:
    return next(entry for entry in entries if entry.name == name)


def test_totals_start_from_the_daemons_and_go_on_with_what_is_received() -> None:
    activity = Activity()
    activity.seed({_DENIED: 30, _ALLOWED: 70}, {"a": 100}, up_to_id=100)
    activity.add_many([_row(101, _DENIED, "b")], 0)
    kinds, sources = activity.ranked(0, "kind"), activity.ranked(0, "source")
    assert {entry.name: entry.total for entry in kinds} == {_DENIED: 31, _ALLOWED: 70}
    assert {entry.name: entry.total for entry in sources} == {"a": 100, "b": 1}
    assert _one(kinds, _ALLOWED).share == 70 / 101


def test_an_event_that_the_daemons_totals_hold_is_not_counted_again() -> None:
    activity = Activity()
    activity.seed({_DENIED: 2}, {"a": 2}, up_to_id=2)
    activity.add_many([_row(1, _DENIED, "a"), _row(2, _DENIED, "a"), _row(3, _DENIED, "a")], 0)
    activity.add_many([_row(3, _DENIED, "a")], 1)
    assert activity.ranked(1, "kind")[0].total == 3


def test_a_second_seed_replaces_the_totals_and_keeps_the_spark() -> None:
    activity = Activity()
    activity.add_many([_row(1, _DENIED, "a")], 0)
    activity.seed({_DENIED: 10}, {"a": 9, "b": 1}, up_to_id=10)
    entry = activity.ranked(1, "kind")[0]
    assert (entry.total, sum(entry.spark)) == (10, 1)


def test_the_busiest_of_the_last_minute_comes_first_then_the_largest_total() -> None:
    activity = Activity()
    activity.seed({}, {"large": 1_000, "small": 10, "busy": 1}, up_to_id=1_011)
    activity.add_many([_row(1_012, _ALLOWED, "busy")], 5)
    assert [entry.name for entry in activity.ranked(6, "source")] == ["busy", "large", "small"]
    assert [entry.name for entry in activity.ranked(300, "source")] == ["large", "small", "busy"]


def test_the_rate_is_taken_over_the_last_minute() -> None:
    activity = Activity()
    feed = _Feed(activity)
    for second in range(121):
        feed.add(second, *[(_ALLOWED, "a")] * 4)
    assert 3.9 < activity.ranked(120, "source")[0].rate_per_s < 4.2
    assert activity.ranked(120 + 80, "source")[0].rate_per_s == 0


def test_the_rate_of_the_first_moments_is_not_of_a_whole_minute_nor_of_a_moment() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.add(100.0, *[(_ALLOWED, "a")] * 30)
    assert activity.ranked(100.01, "source")[0].rate_per_s == 30
    assert activity.ranked(103, "source")[0].rate_per_s == 10
    assert activity.rate_per_s(103) == 10


def test_the_spark_moves_left_and_falls_off_its_end() -> None:
    activity = Activity()
    activity.add_many([_row(1, _ALLOWED, "a")], 0)
    assert activity.ranked(0, "source")[0].spark == (*[0] * (SPARK_BUCKETS - 1), 1)
    assert activity.ranked(2 * SPARK_BUCKET_S, "source")[0].spark[-3:] == (1, 0, 0)
    activity.add_many([_row(2, _ALLOWED, "a")], 2 * SPARK_BUCKET_S)
    assert activity.ranked(2 * SPARK_BUCKET_S, "source")[0].spark[-3:] == (1, 0, 1)
    assert sum(activity.ranked((SPARK_BUCKETS + 1) * SPARK_BUCKET_S, "source")[0].spark) == 1
    assert sum(activity.ranked((SPARK_BUCKETS + 2) * SPARK_BUCKET_S, "source")[0].spark) == 0


def test_a_bucket_is_empty_again_when_the_ring_comes_round_to_it() -> None:
    activity = Activity()
    activity.add_many([_row(1, _ALLOWED, "a")], 0)
    activity.add_many([_row(2, _ALLOWED, "a")], SPARK_BUCKETS * SPARK_BUCKET_S * 3)
    assert sum(activity.ranked(SPARK_BUCKETS * SPARK_BUCKET_S * 3, "source")[0].spark) == 1


def test_the_rate_of_the_stream_is_of_the_last_five_seconds() -> None:
    activity = Activity()
    feed = _Feed(activity)
    for tick in range(200):
        feed.add(tick / 10, *[(_ALLOWED, "a")] * 20)
    assert 190 <= activity.rate_per_s(19.95) <= 200
    assert activity.rate_per_s(30) == 0


def test_what_is_caught_up_with_counts_but_makes_no_rate() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.add(10, *[(_ALLOWED, "a")] * 1_000, live=False)
    entry = activity.ranked(11, "source")[0]
    assert (entry.total, entry.rate_per_s, sum(entry.spark)) == (1_000, 0, 0)
    assert activity.rate_per_s(11) == 0


def test_a_source_that_stops_against_its_pace_is_silent() -> None:
    activity = Activity()
    _Feed(activity).record("a", start_s=0, end_s=90, every_s=5)
    assert activity.ranked(90 + 40, "source")[0].silent_for_s is None
    assert activity.ranked(90 + 41, "source")[0].silent_for_s == 41


def test_no_source_is_silent_within_half_a_minute() -> None:
    activity = Activity()
    _Feed(activity).record("a", start_s=0, end_s=90, every_s=1)
    assert activity.ranked(90 + 30, "source")[0].silent_for_s is None
    assert activity.ranked(90 + 31, "source")[0].silent_for_s == 31


def test_a_source_that_was_hardly_observed_is_never_silent() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.record("short", start_s=0, end_s=40, every_s=2)
    feed.record("rare", start_s=0, end_s=90, every_s=30)
    assert {entry.silent_for_s for entry in activity.ranked(10_000, "source")} == {None}


def test_a_source_that_speaks_in_bursts_is_not_silent_between_them() -> None:
    activity = Activity()
    feed = _Feed(activity)
    for burst in range(15):
        for _ in range(50):
            feed.add(burst * 60, (_ALLOWED, "a"))
    assert activity.ranked(14 * 60 + 59, "source")[0].silent_for_s is None


def test_one_long_outage_does_not_become_the_usual_pace() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.record("a", start_s=0, end_s=90, every_s=2)
    feed.record("a", start_s=10_000, end_s=10_010, every_s=2)
    assert activity.ranked(10_010 + 60, "source")[0].silent_for_s == 60


def test_a_source_that_has_become_slower_is_silent_only_against_its_new_pace() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.record("a", start_s=0, end_s=600, every_s=1)
    feed.record("a", start_s=660, end_s=660 + 60 * 60, every_s=60)
    assert activity.ranked(660 + 60 * 60 + 120, "source")[0].silent_for_s is None


def test_a_kind_is_never_silent() -> None:
    activity = Activity()
    _Feed(activity).record("a", start_s=0, end_s=90, every_s=1)
    assert activity.ranked(1_000, "kind")[0].silent_for_s is None


def test_time_without_a_connection_makes_no_source_silent() -> None:
    activity = Activity()
    _Feed(activity).record("a", start_s=0, end_s=90, every_s=1)
    activity.paused(100)
    activity.paused(500)
    assert activity.ranked(9_000, "source")[0].silent_for_s is None
    activity.resumed(10_000)
    assert activity.ranked(10_020, "source")[0].silent_for_s is None
    assert activity.ranked(10_021, "source")[0].silent_for_s == 31


def test_a_source_that_spoke_while_the_connection_was_away_is_not_silent() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.record("a", start_s=0, end_s=90, every_s=1)
    activity.paused(110)
    activity.resumed(500)
    feed.add(500, (_ALLOWED, "a"), live=False)
    assert activity.ranked(515, "source")[0].silent_for_s is None


def test_a_source_is_not_silent_whose_events_came_late_but_are_in_a_new_seed() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.record("a", start_s=0, end_s=90, every_s=1)
    activity.paused(110)
    activity.seed({_ALLOWED: 92}, {"a": 92}, up_to_id=92)
    activity.resumed(500)
    feed.add(500, (_ALLOWED, "a"), live=False)
    entry = activity.ranked(515, "source")[0]
    assert (entry.total, entry.silent_for_s) == (92, None)


def test_the_stream_has_no_rate_while_the_connection_is_away() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.add(0, *[(_ALLOWED, "a")] * 50)
    activity.paused(1)
    assert activity.rate_per_s(2) == 0


def test_a_kinds_severity_is_the_registrys_and_a_sources_the_worst_that_it_lately_sent() -> None:
    activity = Activity()
    feed = _Feed(activity)
    feed.add(0, (_TAMPERED, "a"), (_ALLOWED, "a"))
    assert _one(activity.ranked(0, "kind"), _TAMPERED).severity is Severity.CRITICAL
    assert activity.ranked(0, "source")[0].severity is Severity.CRITICAL
    later = SPARK_BUCKETS * SPARK_BUCKET_S + 1
    assert activity.ranked(later, "source")[0].severity is Severity.INFO
    feed.add(later, (_DENIED, "a"))
    assert activity.ranked(later, "source")[0].severity is Severity.WARNING


def test_a_flood_of_sources_keeps_the_large_and_the_latest_and_counts_the_others_together() -> None:
    activity = Activity(max_names=100)
    feed = _Feed(activity)
    feed.add(0, *[(_ALLOWED, "large")] * 50)
    for number in range(3_000):
        feed.add(number / 100, (_DENIED, f"source-{number}"))
    entries = activity.ranked(30, "source")
    assert len(entries) <= 126
    names = {entry.name for entry in entries}
    assert {"large", "source-2999"} <= names
    assert entries[-1].rest
    assert not any(entry.rest for entry in entries[:-1])
    assert sum(entry.total for entry in entries) == 3_050
    assert sum(sum(entry.spark) for entry in entries) == 3_050
    assert entries[-1].severity is Severity.WARNING


def test_a_seed_of_more_sources_than_are_kept_loses_no_count() -> None:
    activity = Activity(max_names=100)
    activity.seed({}, {f"s{number}": number for number in range(1, 10_001)}, up_to_id=1)
    entries = activity.ranked(0, "source")
    assert len(entries) == 101
    assert entries[0].name == "s10000"
    assert sum(entry.total for entry in entries) == 10_000 * 10_001 // 2
