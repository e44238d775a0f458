"""What the word under the cursor of a filter may become."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.filters import parse
from audit_tui.model.completion import MAX_OPTIONS, Completions, complete, payload_paths, taken

KINDS = ["other", "request_denied", "request_allowed", "watch_drifted"]
SOURCES = ["policy-engine", "urn:x", "a b"]
FIELDS = ["user.id", '"a.b".c', "reason"]
SEVERITIES = ["info", "notice", "warning", "critical"]


def completions(text: str) -> Completions:
    """`|` in the text is the cursor; without one it stands at the end."""
    before, _, after = text.partition("|")
    return complete(before + after, len(before), kinds=KINDS, sources=SOURCES, fields=FIELDS, severities=SEVERITIES)


def first_taken(text: str) -> str:
    found = completions(text)
    new, cursor = taken(text.replace("|", ""), found, found.options[0])
    return f"{new[:cursor]}|{new[cursor:]}"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("k", "kind:|"),
        ("-so", "-source:|"),
        ("kind:other se", "kind:other severity:|"),
        ("payload.rea", "payload.reason:|"),
        ("payload.u", "payload.user.id:|"),
        ("payload.a.b", 'payload."a.b".c:|'),
        ("kind:req", "kind:request_denied|"),
        ("-kind:other,wat", "-kind:other,watch_drifted|"),
        ("source:pol", "source:policy-engine|"),
        ("source:a", 'source:"a b"|'),
        ('source:"a', 'source:"a b"|'),
        ("source:urn:", 'source:"urn:x"|'),
        ("severity:w", "severity:warning|"),
        ("severity:>=w", "severity:>=warning|"),
        ("severity:info,c", "severity:info,critical|"),
        ("since:1", "since:15m|"),
        ("kind:re| x", "kind:request_denied| x"),
        ("kind:re|q,other", "kind:request_denied|,other"),
        ("k|:other", "kind:|other"),
        ('"a b" k', '"a b" kind:|'),
        ('"\\" x" k', '"\\" x" kind:|'),
    ],
)
def test_the_best_completion(text: str, then: str) -> None:
    assert first_taken(text) == then


def test_what_begins_so_comes_before_what_contains_it() -> None:
    assert completions("kind:d").options == ("request_denied", "request_allowed", "watch_drifted")
    assert completions("kind:w").options == ("watch_drifted", "request_allowed")


def test_case_does_not_count() -> None:
    assert completions("kind:OTH").options == ("other",)


def test_after_a_colon_or_a_comma_all_values_are_offered_in_their_order() -> None:
    assert completions("kind:").options == tuple(KINDS)
    assert completions("kind:other,").options == tuple(KINDS)


def test_a_blank_filter_offers_the_fields() -> None:
    assert completions("").options[:3] == ("kind:", "source:", "severity:")


@pytest.mark.parametrize("text", ["kind:other", "id:4", "payload.user.id:", "nothing_like_it", '"kind:', "nofield:"])
def test_nothing_to_complete(text: str) -> None:
    assert completions(text).options == ()


def test_there_are_at_most_twelve() -> None:
    many = [f"kind_{number}" for number in range(40)]
    found = complete("kind:k", 6, kinds=many, sources=[], fields=[], severities=[])
    assert found.options == tuple(many[:MAX_OPTIONS])


@settings(deadline=None)
@given(st.lists(st.sampled_from([*'k:,."\\ -ai|', "kind:", "source:a", "payload."])).map("".join), st.data())
def test_a_completion_stands_around_the_cursor_in_any_text(text: str, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, len(text)))
    found = complete(text, cursor, kinds=KINDS, sources=SOURCES, fields=FIELDS, severities=SEVERITIES)
    assert 0 <= found.start <= cursor <= found.end <= len(text)
    assert len(set(found.options)) == len(found.options) <= MAX_OPTIONS


@pytest.mark.parametrize("text", ["kind:", "-source:", "severity:>=", "since:"])
def test_every_value_that_is_offered_makes_a_filter(text: str) -> None:
    found = completions(text)
    assert found.options
    for option in found.options:
        parse(taken(text, found, option)[0], now_ms=0)


def test_the_paths_of_a_payload_are_written_as_the_language_wants_them() -> None:
    payload = {"a": {"b.c": 1, "d": []}, "e": [{"f": None}], "": "x", "deep": {"1": {"2": {"3": {"4": 0}}}}}
    assert list(payload_paths(payload)) == ['a."b.c"', "a.d", "e.f", '""', "deep.1.2.3"]


def test_paths_that_nobody_would_type_are_left_out() -> None:
    assert list(payload_paths({"k" * 65: 1, "ok": 2})) == ["ok"]
