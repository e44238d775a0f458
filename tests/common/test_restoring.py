"""What 0.1.0 hashed is found again from what it serves, or it is said that it is not."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.canonical import hash_of
from audit_stream.restoring import Restorer, hashed_form

numbers = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -math.inf]))
plain = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5))
payloads = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.one_of(numbers, plain),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)

_HALF = re.compile("[\ud800-\udfff]")


def event(payload: dict[str, Any]) -> dict[str, Any]:
    """As 0.1.0 kept it."""
    fields = {
        "event_id": 7,
        "timestamp": "t",
        "kind": "other",
        "source": "s",
        "payload": payload,
        "prev_hash": "0" * 64,
    }
    return {**fields, "hash": hash_of(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())}


def as_served(value: Any) -> Any:
    """As 0.1.0 serves it; the recorded chain holds this to it (test_cli_import_restored.py)."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_HALF.sub("\ufffd" * 3, key): as_served(child) for key, child in value.items()}
        case list():
            return [as_served(child) for child in value]
    return value


def served(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "payload": as_served(fields["payload"])}


def _nulls(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (value is None) + sum(map(_nulls, children))


@settings(deadline=None)
@given(payloads)
def test_what_holds_up_to_eight_nulls_is_always_restored_to_the_bytes_that_were_hashed(payload: dict[str, Any]) -> None:
    kept = event(payload)
    found = served(kept)
    if _nulls(found["payload"]) <= 8:
        restored = Restorer().restore(found)
        assert restored is not None
        assert hash_of(restored.canonical) == kept["hash"]
        assert restored.canonical == hashed_form(kept)
        assert (restored.changes == ()) == (hashed_form(found) == restored.canonical)


@settings(deadline=None, max_examples=50)
@given(payloads, st.text(max_size=3))
def test_an_event_that_was_changed_is_never_restored(payload: dict[str, Any], source: str) -> None:
    kept = event(payload)
    changed = {**served(kept), "source": f"other {source}"}
    if _nulls(changed["payload"]) <= 3:
        assert Restorer().restore(changed) is None


@pytest.mark.parametrize(
    ("payload", "changes"),
    [
        ({"rate": math.nan}, [("payload.rate", "NaN", "null")]),
        ({"a": [None, {"b": -math.inf}]}, [("payload.a[1].b", "-Infinity", "null")]),
        ({f"n{n:02}": math.nan for n in range(40)}, [(f"payload.n{n:02}", "NaN", "null") for n in range(40)]),
        ({f"n{n:02}": math.inf if n == 33 else None for n in range(40)}, [("payload.n33", "Infinity", "null")]),
        ({"\ud834": 1}, [("payload.\ufffd\ufffd\ufffd", r"\ud834", "U+FFFD")]),
        (
            {"z": [{"x\udfffy": math.inf}], "\ufffd": None, "x\ue000": None},
            [
                ("payload.z[0].x\ufffd\ufffd\ufffdy", r"\udfff", "U+FFFD"),
                ("payload.z[0].x\ufffd\ufffd\ufffdy", "Infinity", "null"),
            ],
        ),
        ({"NaN": "NaN", "\ufffd\ufffd\ufffd": "null"}, []),
    ],
)
def test_what_was_restored_is_named(payload: dict[str, Any], changes: list[tuple[str, str, str]]) -> None:
    kept = event(payload)
    restored = Restorer().restore(served(kept))
    assert restored is not None
    assert restored.canonical == hashed_form(kept)
    assert list(restored.changes) == changes


@pytest.mark.parametrize(
    ("payload", "served_payload", "doubt"),
    [
        ({"n": 1}, {"n": 2}, "it was changed, or a tool has rewritten its numbers on the way"),
        ({"n": [None, 1]}, {"n": [None, 2]}, "no NaN or infinity in place of its null makes it fit"),
        (
            {f"n{n:02}": math.inf if n % 2 else -math.inf for n in range(40)},
            None,
            "some of its 40 nulls may be NaN or infinities, which 0.1.0 serves as null",
        ),
        ({"\ud800": {"\ud801": 1}}, None, "its keys may hold halves of characters, which 0.1.0 serves as U+FFFD"),
    ],
)
def test_what_cannot_be_restored_is_said_to_be_possible(
    payload: dict[str, Any], served_payload: dict[str, Any] | None, doubt: str
) -> None:
    found = served(event(payload))
    if served_payload is not None:
        found["payload"] = served_payload
    restorer = Restorer()
    assert restorer.restore(found) is None
    assert restorer.doubt(found).startswith(doubt)


def test_a_large_event_gets_fewer_tries() -> None:
    payload: dict[str, Any] = {"text": "x" * (1 << 20), **{f"n{n}": math.inf if n % 2 else math.nan for n in range(9)}}
    assert Restorer().restore(served(event(payload))) is None


def test_what_was_found_once_is_tried_first_in_the_next_event_of_the_same_shape() -> None:
    """The first is found by a long search; two hundred of these would take a minute."""
    values = [math.nan, math.nan, None, math.inf, -math.inf, None, None, None]
    restorer = Restorer()
    for number in range(200):
        payload = {"number": number, **{f"n{place}": value for place, value in enumerate(values)}}
        assert restorer.restore(served(event(payload))) is not None
