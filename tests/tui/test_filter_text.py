"""Filter texts: terms added, taken away, made from cells and chosen in a panel."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audit_stream.event import Event
from audit_stream.filters import Filter, FilterError, matches
from audit_stream.kinds import DEFAULT_KINDS
from audit_tui.model.filter_text import (
    Choice,
    cell_term,
    choose,
    chosen,
    negated,
    parsed,
    term_of,
    toggle_excluded,
    widen,
    with_term,
    without_last_term,
)
from audit_tui.model.rows import Row

NOW_MS = 1_780_000_000_000
COLUMNS = ["kind", "source", "severity", "id", "time"]

on_a_loaded_machine = settings(deadline=None)  # the first example also imports lark

TERMS = ["kind:other", "-kind:other", 'kind:"other"', "kind:request_*,other", "source:a/b", '-source:"x y"']
TERMS += ["severity:>=warning", "-severity:info", "since:15m", "until:2026-05-28T20:26:00Z", "id:>2", "id:1,2"]
TERMS += ["payload.a:5", 'payload."a.b".c:*', "-payload.a:*", 'deny,"a b: c"', '"\\"\\\\ x"', "-free", '"-x"']
terms = st.sampled_from(TERMS)
filter_texts = st.lists(terms, max_size=4).map("  ".join)
names = st.sampled_from(["other", "request_denied", "a/b", "x y", "-a", "a*", 'a"b', "a,b", "a:b", "", "\\", "true"])
timestamps = st.sampled_from(
    ["2026-05-28T20:26:40.000+00:00", "2026-05-28T22:26:40+02:00", "2026-05-28T20:26:39.999Z", "yesterday", ""]
)
events = st.builds(
    Event,
    event_id=st.integers(1, 4),
    timestamp=timestamps,
    kind=names,
    source=names,
    payload=st.dictionaries(st.sampled_from(["a", "a.b", "free"]), st.sampled_from([5, "deny", {"c": None}])),
    prev_hash=st.just("0" * 64),
    hash=st.just("0" * 64),
)


def row_of(event: Event) -> Row:
    severity = DEFAULT_KINDS.severity(event.kind)
    raw = msgspec.json.encode(event)
    return Row(event_id=event.event_id, kind=event.kind, source=event.source, severity=severity, raw=raw)


def event(**fields: Any) -> Event:
    usual: dict[str, Any] = {
        "event_id": 7,
        "timestamp": "2026-05-28T20:26:40Z",
        "kind": "other",
        "source": "s",
        "payload": {},
    }
    return Event(**(usual | {"prev_hash": "0" * 64, "hash": "0" * 64} | fields))


def filter_of(text: str) -> Filter:
    found = parsed(text, NOW_MS, DEFAULT_KINDS)
    assert isinstance(found, Filter), (text, found)
    return found


def passes(text: str, event: Event) -> bool:
    return matches(filter_of(text), event)


@on_a_loaded_machine
@given(filter_texts, terms, events)
def test_a_term_more_lets_through_exactly_what_both_do(text: str, term: str, event: Event) -> None:
    assume(all(filter_of(negated(term)) != filter_of(other) for other in text.split("  ")))
    assert passes(with_term(text, term), event) == (passes(text, event) and passes(term, event))


@on_a_loaded_machine
@given(filter_texts, terms, events)
def test_a_term_that_was_just_added_holds_for_all_that_pass(text: str, term: str, event: Event) -> None:
    assert not passes(with_term(text, term), event) or passes(term, event)


@on_a_loaded_machine
@given(terms, events)
def test_a_negated_term_lets_through_exactly_the_others(term: str, event: Event) -> None:
    assert passes(negated(term), event) is not passes(term, event)
    assert negated(negated(term)) == term


name_lists = st.lists(names, unique=True, max_size=3).map(tuple)


@on_a_loaded_machine
@given(filter_texts, name_lists, name_lists)
def test_what_was_chosen_is_told_from_the_text(text: str, kinds: tuple[str, ...], sources: tuple[str, ...]) -> None:
    found = chosen(choose(text, kinds, sources))
    assert (sorted(found.kinds), sorted(found.sources)) == (sorted(kinds), sorted(sources))


def test_patterns_and_what_is_no_filter_are_not_chosen() -> None:
    assert chosen('kind:req*,other source:"a*",a/b free') == Choice(sources=("a*", "a/b"))
    assert chosen("kind:") == chosen("") == Choice()


def test_what_is_left_out_by_name_is_told_from_the_text_also_beside_a_pattern() -> None:
    found = chosen('-kind:x,"y z" kind:a -kind:req*,other -source:b -source:"b" -free -severity:info')
    assert found == Choice(kinds=("a",), not_kinds=("x", "y z", "other"), not_sources=("b",))


@on_a_loaded_machine
@given(filter_texts, st.sampled_from(["kind", "source"]), names)
def test_leaving_out_again_takes_it_back(text: str, field: str, name: str) -> None:
    once = toggle_excluded(text, field, name)
    twice = toggle_excluded(once, field, name)
    excluded = [
        name in (chosen(each).not_kinds if field == "kind" else chosen(each).not_sources) for each in (once, twice)
    ]
    assert excluded == [name not in getattr(chosen(text), f"not_{field}s"), not excluded[0]]


@on_a_loaded_machine
@given(filter_texts, names, events)
def test_what_is_left_out_does_not_pass_and_all_else_that_passed_still_does(text: str, name: str, event: Event) -> None:
    assume(name not in chosen(text).not_kinds)
    left_out = toggle_excluded(text, "kind", name)
    assert not (event.kind == name and passes(left_out, event))
    assert passes(left_out, event) or event.kind == name or not passes(text, event)


def test_leaving_out_touches_no_term_that_does_not_name_it() -> None:
    assert toggle_excluded('kind:"a",b since:15m', "kind", "c") == 'kind:"a",b since:15m -kind:c'
    assert toggle_excluded('-kind:"a",req*,c since:15m -kind:"b"', "kind", "c") == '-kind:a,req* since:15m -kind:"b"'
    assert toggle_excluded("-source:a", "kind", "a") == "-source:a -kind:a"


def test_what_is_left_out_is_not_chosen_any_more_and_what_is_chosen_not_left_out() -> None:
    assert toggle_excluded("kind:a,b", "kind", "a") == "kind:b -kind:a"
    assert toggle_excluded("kind:a", "kind", "a") == "-kind:a"
    assert choose("-kind:a,b -source:a -kind:a", ["a"], []) == "-kind:b -source:a kind:a"


def test_clearing_takes_back_all_that_is_chosen_or_left_out_by_name() -> None:
    text = "kind:a -kind:b,req* -source:c kind:watch_* -severity:info since:15m"
    assert choose(text, [], [], cleared=True) == "-kind:req* kind:watch_* -severity:info since:15m"
    assert chosen(choose(text, [], [], cleared=True)) == Choice()


def test_a_term_that_is_there_however_it_is_written_changes_nothing() -> None:
    assert with_term('since:15m kind:"other" x', "kind:other") == 'since:15m kind:"other" x'


def test_the_exact_opposite_of_a_term_is_replaced() -> None:
    assert with_term("kind:other x", '-kind:"other"') == 'x -kind:"other"'
    assert with_term("-kind:other x", "kind:other") == "x kind:other"


def test_relative_times_stay_relative_in_the_text() -> None:
    assert with_term("since:15m", "kind:other") == "since:15m kind:other"
    assert choose("since:15m", ["other"], []) == "since:15m kind:other"


def test_a_duration_and_the_instant_that_it_now_is_are_two_terms() -> None:
    assert with_term("since:0s", "since:2026-05-28T20:26:40.000Z") == "since:0s since:2026-05-28T20:26:40.000Z"


def test_no_term_changes_nothing() -> None:
    assert with_term("kind:other", "") == "kind:other"
    assert negated("") == ""


def test_a_text_that_is_no_filter_stays_whole_and_is_refused_afterwards() -> None:
    text = with_term('kind:"a b', "x")
    assert text.startswith('kind:"a b')
    assert isinstance(parsed(text, NOW_MS, DEFAULT_KINDS), FilterError)


@on_a_loaded_machine
@given(filter_texts, events)
def test_without_its_last_term_a_filter_lets_no_less_through(text: str, event: Event) -> None:
    assert passes(without_last_term(text), event) or not passes(text, event)


def test_the_last_term_goes_even_when_it_holds_spaces() -> None:
    assert without_last_term('kind:other "a b"') == "kind:other"
    assert without_last_term("") == ""


@on_a_loaded_machine
@given(filter_texts, terms)
def test_widening_undoes_an_addition(text: str, term: str) -> None:
    assume(widen(text, negated(term)) == widen(text, ""))  # else the addition has replaced its opposite
    assert widen(with_term(text, term), term) == widen(text, term)


@on_a_loaded_machine
@given(events, st.sampled_from(COLUMNS))
def test_the_term_of_a_cell_lets_its_own_event_through(event: Event, column: str) -> None:
    assert passes(cell_term(column, row_of(event)), event)


@on_a_loaded_machine
@given(events, events, st.sampled_from(["kind", "source", "severity", "id"]))
def test_the_term_of_a_cell_lets_through_exactly_the_same_value(one: Event, other: Event, column: str) -> None:
    key = "event_id" if column == "id" else column
    assert passes(cell_term(column, row_of(one)), other) == (getattr(row_of(one), key) == getattr(row_of(other), key))


@pytest.mark.parametrize(
    ("column", "term"),
    [
        ("kind", "kind:request_denied"),
        ("source", 'source:"urn:x y"'),
        ("severity", "severity:warning"),
        ("id", "id:7"),
        ("time", "since:2026-05-28T20:26:40.000Z"),
        ("summary", ""),
    ],
)
def test_the_term_of_each_column(column: str, term: str) -> None:
    assert cell_term(column, row_of(event(kind="request_denied", source="urn:x y"))) == term


@pytest.mark.parametrize("timestamp", ["yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_timestamp_that_no_filter_can_name_has_no_term(timestamp: str) -> None:
    assert cell_term("time", row_of(event(timestamp=timestamp))) == ""


@on_a_loaded_machine
@given(st.lists(names, max_size=3), st.lists(names, max_size=3), events)
def test_what_is_chosen_is_exactly_what_passes(kinds: list[str], sources: list[str], event: Event) -> None:
    wanted = (not kinds or event.kind in kinds) and (not sources or event.source in sources)
    assert passes(choose("kind:gone source:gone,away", kinds, sources), event) is wanted


def test_choosing_replaces_plain_lists_and_keeps_every_other_term() -> None:
    text = 'kind:a,b -kind:c kind:watch_* source:x "kind:a" since:15m'
    assert choose(text, ["d", "e"], []) == '-kind:c kind:watch_* "kind:a" since:15m kind:d,e'
    assert choose(text, [], []) == '-kind:c kind:watch_* "kind:a" since:15m'


def test_names_are_quoted_where_the_language_needs_it() -> None:
    assert term_of("kind", "a*", "b") == 'kind:"a*",b'
