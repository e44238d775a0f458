"""Two events compared, field by field."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from audit_stream.event import Event
from audit_tui.model.event_diff import FieldPair, compare_events


def event(payload: dict[str, Any], hash_: str = "a") -> Event:
    return Event(event_id=1, timestamp="t", kind="other", source="s", payload=payload, prev_hash="0", hash=hash_)


def payload_pairs(one: dict[str, Any], other: dict[str, Any]) -> list[FieldPair]:
    return [pair for pair in compare_events(event(one), event(other)) if pair.field.startswith("payload")]


def test_a_list_is_one_field_until_it_differs() -> None:
    assert payload_pairs({"a": [1, 2]}, {"a": [1, 2]}) == [FieldPair("payload.a", "[1, 2]", "[1, 2]", differs=False)]
    assert payload_pairs({"a": [1, 2]}, {"a": [1, 3, 4]}) == [
        FieldPair("payload.a[0]", "1", "1", differs=False),
        FieldPair("payload.a[1]", "2", "3"),
        FieldPair("payload.a[2]", "(absent)", "4"),
    ]


def test_values_that_python_finds_equal_differ_where_their_bytes_do() -> None:
    for one, other in [(1, 1.0), (1, True), (0.0, -0.0), ({"b": [1]}, {"b": [1.0]})]:
        assert any(pair.differs for pair in payload_pairs({"a": one}, {"a": other}))


def test_an_empty_payload_is_a_field() -> None:
    assert payload_pairs({}, {}) == [FieldPair("payload", "{}", "{}", differs=False)]


def test_an_event_beside_none_is_told_field_by_field_and_all_of_it_differs() -> None:
    pairs = list(compare_events(event({"a": {"b": 1}}), None))
    assert all(pair.differs for pair in pairs)
    assert FieldPair("payload.a", '{"b": 1}', "(absent)") in pairs
    assert [pair.field for pair in pairs[-2:]] == ["prev_hash", "hash"]
    assert FieldPair("payload", "{}", "(absent)") in compare_events(event({}), None)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
    max_leaves=8,
)
payloads = st.dictionaries(st.text(max_size=1), values, max_size=3)


@given(payloads, payloads)
def test_something_differs_if_and_only_if_the_canonical_bytes_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert same == all(not pair.differs for pair in payload_pairs(one, other))
