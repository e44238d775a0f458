"""The registry of series: its sums against a plain count."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.logfile import series as series_module
from audit_stream.logfile.series import SeriesRegistry

pairs = st.tuples(st.sampled_from("abc"), st.integers(0, 12).map(str))
transactions = st.lists(st.lists(pairs, max_size=20), max_size=12)


@pytest.fixture(autouse=True)
def small_tally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "SHOWN_SOURCES", 3)
    monkeypatch.setattr(series_module, "SHOWN_SERIES", 5)
    monkeypatch.setattr(series_module, "LOOKED_AT_ONCE", 3)


def filled(committed: list[list[tuple[str, str]]]) -> SeriesRegistry:
    registry = SeriesRegistry()
    for transaction in committed:
        update = registry.begin()
        for pair in transaction:
            update.number(pair)
        update.apply()
    return registry


@settings(deadline=None)
@given(committed=transactions)
def test_the_tally_is_of_all_events_and_names_the_largest_sources_and_the_oldest_series(
    committed: list[list[tuple[str, str]]],
) -> None:
    tally = filled(committed).tally()
    events = [pair for transaction in committed for pair in transaction]
    by_source = Counter(source for _, source in events)
    assert tally.by_kind == Counter(kind for kind, _ in events)
    assert sorted(tally.by_source.values()) == sorted(sorted(by_source.values())[-3:])
    assert list(tally.by_source.values()) == sorted(tally.by_source.values(), reverse=True)
    assert all(by_source[source] == count for source, count in tally.by_source.items())
    assert (tally.sources, sum(tally.by_source.values()) + tally.other_sources) == (len(by_source), len(events))
    oldest = list(dict.fromkeys(events))[:5]
    assert tally.by_series == [(pair, events.count(pair)) for pair in oldest]
    assert sum(count for _, count in tally.by_series) + sum(tally.other_series.values()) == len(events)


@settings(deadline=None)
@given(committed=transactions)
def test_no_counter_ever_falls(committed: list[list[tuple[str, str]]]) -> None:
    """Prometheus takes a fall for a restart."""
    before: dict[object, int] = {}
    for end in range(len(committed) + 1):
        tally = filled(committed[:end]).tally()
        now: dict[object, int] = dict(tally.by_series)
        now.update(tally.other_series)
        assert all(now.get(series, 0) >= count for series, count in before.items())
        before = now


@settings(deadline=None)
@given(committed=transactions, kinds=st.sets(st.sampled_from("abcd")), sources=st.sets(st.integers(0, 13).map(str)))
def test_series_are_found_by_name_and_by_pattern(
    committed: list[list[tuple[str, str]]], kinds: set[str], sources: set[str]
) -> None:
    registry = filled(committed)
    events = [pair for transaction in committed for pair in transaction]
    wanted = {(kind, source) for kind, source in events if kind in kinds}
    assert registry.size(kinds) == (len(wanted), sum(kind in kinds for kind, _ in events))
    named = registry.named(kinds, sources)
    selected = list(registry.select(kinds, sources.__contains__))
    assert sorted(named) == sorted(chain.from_iterable(selected))
    assert len(selected) == sum(-(-registry.size([kind])[0] // 3) for kind in kinds)
    assert len(named) == len({pair for pair in wanted if pair[1] in sources})
    assert registry.events_of(named) == sum(kind in kinds and source in sources for kind, source in events)


def test_a_transaction_that_is_given_up_leaves_no_trace() -> None:
    registry = filled([[("a", "1")]])
    update = registry.begin()
    assert update.number(("a", "1")) == (1, 2)
    assert update.number(("b", "2")) == (2, 1)
    assert update.new_rows == [(2, "b", "2")]
    assert registry.counts() == {("a", "1"): 1}
    assert registry.begin().number(("c", "3")) == (2, 1)
