from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.canonical import canonical_event
from audit_stream.client import RawEvent
from audit_stream.event import Event
from audit_stream.event_check import EventCheck, check_served
from audit_stream.filters import matches, parse
from audit_stream.kinds import DEFAULT_KINDS, Severity
from audit_tui.model.detail import (
    curl_line,
    field_filter,
    local_time,
    same_source_filter,
    utc_time,
)
from audit_tui.model.rows import Row, read_row
from tests.tui.fake_log import START_MS, chained, make_log, tampered


def rows(count: int) -> list[Row]:
    return [read_row(RawEvent(raw), DEFAULT_KINDS) for raw in make_log(count).raw]


def row_of(raw: bytes) -> Row:
    return read_row(RawEvent(raw), DEFAULT_KINDS)


def inspect(row: Row, before: Row | None) -> EventCheck:
    return check_served(row.raw, before)


def test_an_intact_event_fits_and_is_linked() -> None:
    first, second = rows(2)
    found = inspect(second, first)
    assert (found.hash_fits, found.link_holds, found.words) == (True, True, "✓ linked")
    assert found.computed_hash == second.hash
    assert found.expected_prev == first.hash
    assert found.not_canonical == ""
    assert found.canonical == canonical_event(second.raw)
    assert (second.severity, second.time_ms) == (Severity.WARNING, START_MS + 1000)


def test_the_first_event_is_linked_by_its_zeros() -> None:
    (first,) = rows(1)
    assert inspect(first, None).link_holds is True


def test_a_link_is_not_known_without_the_very_event_before() -> None:
    first, _, third = rows(3)
    assert inspect(third, None).link_holds is None
    found = inspect(third, first)
    assert found.link_holds is None
    assert "not checked" in found.words


def test_an_edited_event_does_not_fit_its_hash() -> None:
    raw = make_log(2).raw
    found = inspect(row_of(tampered(raw[1], source="someone-else")), row_of(raw[0]))
    assert not found.hash_fits
    assert found.computed_hash != found.carried_hash
    assert "hash does not fit" in found.words


def test_an_event_after_another_one_than_it_says_is_broken() -> None:
    raw = make_log(2).raw
    (other,) = chained([("other", "cron", {"instead": 1})])
    found = inspect(row_of(raw[1]), row_of(other))
    assert (found.hash_fits, found.link_holds) == (True, False)
    assert "prev_hash" in found.words


def test_bytes_whose_hash_is_not_last_are_not_canonical_and_say_why() -> None:
    fields = json.loads(make_log(1).raw[0])
    found = inspect(row_of(json.dumps({"hash": fields.pop("hash"), **fields}).encode()), None)
    assert found.canonical is None
    assert found.computed_hash is None
    assert not found.hash_fits
    assert "last key" in found.not_canonical


def test_bytes_that_encoding_anew_changes_are_not_canonical() -> None:
    raw = make_log(1).raw[0].replace(b'"kind":', b'"kind": ')
    found = inspect(row_of(raw), None)
    assert "anew" in found.not_canonical
    assert not found.hash_fits


def test_a_timestamp_that_is_no_instant_has_no_time() -> None:
    raw = tampered(make_log(1).raw[0], timestamp="yesterday")
    assert row_of(raw).time_ms is None


@pytest.fixture
def kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("kolkata")
def test_times_in_utc_and_local() -> None:
    assert utc_time(START_MS) == "2026-05-28 20:26:40.000 UTC"
    assert local_time(START_MS) == "2026-05-29 01:56:40.000 +05:30"


@pytest.mark.usefixtures("kolkata")
@pytest.mark.parametrize("time_ms", [-62_135_596_800_000 - 7_200_000, 253_402_300_799_999 + 1000])
def test_times_beyond_the_calendar_are_said_to_be(time_ms: int) -> None:
    assert utc_time(time_ms) == "outside the calendar"
    assert local_time(time_ms) == "outside the calendar"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8093", "https://a.test/it's", "http://a.test/$(id);`id`"])
def test_a_curl_line_is_one_quoted_address(url: str) -> None:
    assert shlex.split(curl_line(url, 42)) == ["curl", "-fsS", f"{url}/events/42"]


def test_a_file_has_no_curl_line() -> None:
    assert curl_line("/var/lib/audit/events.db", 42) == ""


@pytest.mark.parametrize(
    ("path", "value", "term"),
    [
        (("matched_rule_id",), "dpa-required", "payload.matched_rule_id:dpa-required"),
        (("a", 0, "b"), 5, "payload.a.b:5"),
        (("a",), "5", 'payload.a:"5"'),
        (("a",), None, "payload.a:null"),
        (("a",), True, "payload.a:true"),
        (("a.b", ""), "x y", 'payload."a.b"."":"x y"'),
        (("a",), {"b": 1}, "payload.a:*"),
        (("a",), [], "payload.a:*"),
        (("a",), 10**40, f"payload.a:{10**40}"),
    ],
)
def test_terms_of_fields(path: tuple[str | int, ...], value: object, term: str) -> None:
    assert field_filter(path, value) == term


def test_the_whole_payload_and_a_path_too_long_have_no_term() -> None:
    assert field_filter((), {"a": 1}) is None
    assert field_filter(("k" * 3000,), 1) is None


strings = st.sampled_from(["", "*", ">2", "-a", "a,b", 'q"', "\\", "true", "5", "1e3", "a:b", "x y", "\n", "é😀"])
odd = [2**63, 10**100, 10**3000, -0.0, 1e22, 1e-7, "x" * 5000, '"' * 5000]
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = strings | st.text(max_size=5) | numbers | st.booleans() | st.none() | st.sampled_from(odd)
keys = strings | st.text(max_size=4)
payloads = st.dictionaries(
    keys,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
    ),
    min_size=1,
    max_size=4,
)


def fields(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from fields(inner, (*path, index))


@settings(deadline=None)  # the first example also imports lark
@given(payload=payloads, source=st.text(max_size=8))
def test_the_term_of_every_field_matches_its_event(payload: dict[str, Any], source: str) -> None:
    event = Event(event_id=1, timestamp="", kind="other", source=source, payload=payload, prev_hash="", hash="")
    for path, value in list(fields(payload))[1:]:
        term = field_filter(path, value)
        assert term is not None
        assert matches(parse(term, now_ms=START_MS), event), term
        assert not matches(parse(f"-{term}", now_ms=START_MS), event), term


@settings(deadline=None)
@given(payload=payloads)
def test_the_term_of_a_scalar_does_not_match_an_event_without_it(payload: dict[str, Any]) -> None:
    event = Event(event_id=1, timestamp="", kind="other", source="s", payload={}, prev_hash="", hash="")
    for path, value in list(fields(payload))[1:]:
        term = field_filter(path, value)
        assert term is not None
        assert not matches(parse(term, now_ms=START_MS), event)


@settings(deadline=None)
@given(source=st.text(max_size=8))
def test_the_term_of_a_source_matches_it_and_no_other(source: str) -> None:
    row = rows(1)[0]
    row.source = source
    event = Event(event_id=1, timestamp="", kind="other", source=source, payload={}, prev_hash="", hash="")
    other = Event(event_id=2, timestamp="", kind="other", source=f"{source}x", payload={}, prev_hash="", hash="")
    found = parse(same_source_filter(row), now_ms=START_MS)
    assert matches(found, event)
    assert not matches(found, other)
