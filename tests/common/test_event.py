"""What a producer may send, and that everything else is refused with the field and the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit_stream.canonical import UnlinkedEvent, join
from audit_stream.chain import GENESIS_HASH
from audit_stream.errors import EventRejected
from audit_stream.event import MAX_NESTING, EventReader
from audit_stream.kinds import DEFAULT_KINDS

NOW_MS = 1_780_000_000_123
READER = EventReader(clock_ms=lambda: NOW_MS)


def body(**fields: Any) -> bytes:
    return json.dumps({"kind": "other", "source": "s"} | fields).encode()


def with_payload(text: str) -> bytes:
    """An event whose payload is written as given."""
    return b'{"kind":"other","source":"s","payload":%b}' % text.encode()


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    """A payload of so many levels, itself counted."""
    return '{"x":' + opening * (levels - 1) + closing * (levels - 1) + "}"


def rejected(data: bytes) -> EventRejected:
    with pytest.raises(EventRejected) as caught:
        READER.read(data)
    return caught.value


def fields_of(prepared: UnlinkedEvent) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(join(1, prepared, GENESIS_HASH))
    return fields


def test_kind_and_source_are_enough() -> None:
    fields = fields_of(READER.read(b'{"kind":"other","source":"s"}'))
    assert fields["payload"] == {}
    assert fields["timestamp"] == "2026-05-28T20:26:40.123+00:00"


def test_a_timestamp_is_kept_as_it_was_written_and_understood() -> None:
    prepared = READER.read(body(timestamp="2026-05-15t03:14:15.9876z"))
    assert fields_of(prepared)["timestamp"] == "2026-05-15t03:14:15.9876z"
    assert prepared.time_ms == 1_778_814_855_987


def test_null_for_a_timestamp_is_as_none() -> None:
    assert READER.read(body(timestamp=None)).time_ms == NOW_MS


@pytest.mark.parametrize("kind", [kind.name for kind in DEFAULT_KINDS])
def test_every_registered_kind_is_accepted(kind: str) -> None:
    assert READER.read(body(kind=kind)).kind == kind


@pytest.mark.parametrize("source", ["a", "7", "A-b.c:d/e@f_g", "x" * 128, "10.0.0.7:8080", "svc@host"])
def test_a_source_may_be_a_name_an_address_or_a_path(source: str) -> None:
    assert READER.read(body(source=source)).source == source


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        (b"", "", "the body is empty"),
        (b" \r\n\t", "", "the body is empty"),
        (b"nonsense", "", "no valid JSON"),
        (b"{", "", "no valid JSON"),
        (b'{"kind":"other","source":"s"} x', "", "no valid JSON"),
        (b'{"kind":"other","source":"s"}{}', "", "no valid JSON"),
        (b'{"kind":"other","source":"s",}', "", "no valid JSON"),
        (b"{'kind':'other'}", "", "no valid JSON"),
        (b"[]", "", "object"),
        (b"null", "", "object"),
        (b"7", "", "object"),
        (b'"text"', "", "object"),
        (b"{}", "kind", "is required"),
        (b'{"kind":"other"}', "source", "is required"),
        (b'{"source":"s"}', "kind", "is required"),
        (body(kind=None), "kind", "str"),
        (body(kind=7), "kind", "str"),
        (body(kind=""), "kind", "is empty"),
        (body(kind="never_heard_of"), "kind", "add it to AUDIT_STREAM_EXTRA_KINDS"),
        (body(kind="Other"), "kind", "is not a known kind"),
        (body(kind="other\n"), "kind", "is not a known kind"),
        (body(source=""), "source", "is empty"),
        (body(source=None), "source", "str"),
        (body(source="x" * 129), "source", "got 129 characters"),
        (body(source="a b"), "source", "1 to 128 characters"),
        (body(source="-a"), "source", "1 to 128 characters"),
        (body(source="a\n"), "source", "1 to 128 characters"),
        (body(source="é"), "source", "1 to 128 characters"),
        (body(source="٣"), "source", "1 to 128 characters"),
        (body(payload=None), "payload", "object"),
        (body(payload=[]), "payload", "object"),
        (body(payload="{}"), "payload", "object"),
        (body(timestamp=7), "timestamp", "str"),
        (body(timestamp=""), "timestamp", "RFC 3339"),
        (body(timestamp="2026-05-15T03:14:15"), "timestamp", "RFC 3339"),
        (body(timestamp="2026-02-30T00:00:00Z"), "timestamp", "no such date"),
        (body(timestamp="2026-05-15 03:14:15Z"), "timestamp", "RFC 3339"),
        (body(event_id=1), "event_id", "is not a field of an event"),
        (body(hash="0" * 64), "hash", "is not a field of an event"),
        (body(extra=1), "extra", "is not a field of an event"),
        (with_payload('{"x":NaN}'), "payload", "NaN"),
        (with_payload('{"x":Infinity}'), "payload", "infinity"),
        (with_payload('{"x":[-Infinity]}'), "payload", "infinity"),
        (with_payload('{"x":1e400}'), "payload", "number"),
        (with_payload('{"x":-1e400}'), "payload", "number"),
        (with_payload('{"x":%s}' % ("9" * 5_000)), "payload", "number"),
        (with_payload('{"x":-%s}' % ("9" * 5_000)), "payload", "number"),
        (with_payload('{"x":[{"y":%s}]}' % ("1" * 400_000)), "payload", "number"),
        (with_payload('{"x":01}'), "", "no valid JSON"),
        (with_payload('{"x":"\t"}'), "", "no valid JSON"),
        (with_payload('{"x":"\\ud800"}'), "payload", "lone surrogate"),
        (with_payload('{"x":"\\udc00\\ud800"}'), "payload", "lone surrogate"),
        (with_payload('{"\\ud800":1}'), "payload", "lone surrogate"),
        (with_payload('{"x":{"a":["\\udfff"]}}'), "payload", "lone surrogate"),
        (b'{"kind":"\\ud800","source":"s"}', "kind", "lone surrogate"),
        (b'{"kind":"other","source":"\\ud800"}', "source", "lone surrogate"),
        (b'{"kind":"other","source":"s","payload":{"x":"\xff"}}', "", "not UTF-8"),
        (b'{"kind":"other","source":"s","payload":{"\xc3":1}}', "", "not UTF-8"),
        (b'{"kind":"other","source":"s","payload":{"x":"\xed\xa0\x80"}}', "", "not UTF-8"),
        (b'{"kind":"other","source":"s","payload":{"x":"\xc0\x80"}}', "", "not UTF-8"),
        (b"\xef\xbb\xbf" + body(), "", "no valid JSON"),
        (body().decode().encode("utf-16"), "", "no valid JSON"),
    ],
)
def test_what_is_no_event_is_refused_with_the_field_and_the_reason(data: bytes, field: str, reason: str) -> None:
    error = rejected(data)
    assert error.field == field
    assert reason in error.reason
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "payload",
    ['{"secret-1234":NaN}', '{"secret-1234":"\\ud800"}', '{"x":"secret-1234\\ud800"}', nested(300), '["secret-1234"]'],
)
def test_a_refusal_never_repeats_the_payload(payload: str) -> None:
    assert "secret-1234" not in str(rejected(with_payload(payload)))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_a_payload_may_nest_128_levels(opening: str, closing: str) -> None:
    per_round = opening.count("[") + opening.count("{")
    rounds = (MAX_NESTING - 1) // per_round
    text = '{"x":' + opening * rounds + "0" + closing * rounds + "}"
    assert fields_of(READER.read(with_payload(text)))["payload"] == json.loads(text)


@pytest.mark.parametrize("levels", [129, 300, 900, 1_100, 100_000])
def test_a_payload_that_nests_deeper_is_refused(levels: int) -> None:
    assert MAX_NESTING == 128
    READER.read(with_payload(nested(128)))
    for text in (nested(levels), nested(levels, '{"a":', "0}" if levels == 0 else "}").replace(":}", ":0}")):
        error = rejected(with_payload(text))
        assert (error.field, error.reason) == ("payload", "nests more than 128 levels deep")


def test_many_brackets_that_do_not_nest_are_no_nesting() -> None:
    payload = {"x": [[]] * 1_000, "text": "[{" * 500}
    assert fields_of(READER.read(body(payload=payload)))["payload"] == payload


def test_the_last_of_two_equal_keys_counts_as_everywhere() -> None:
    prepared = READER.read(b'{"kind":"other","kind":"request_denied","source":"s","payload":{"a":1,"a":2}}')
    assert prepared.kind == "request_denied"
    assert fields_of(prepared)["payload"] == {"a": 2}


@pytest.mark.parametrize("digits", [19, 20, 21, 39, 309, 4_000])
def test_integers_of_any_length_that_python_writes_are_kept_exactly(digits: int) -> None:
    for text in ("9" * digits, "-" + "9" * digits, "1" + "0" * (digits - 1)):
        canonical = join(1, READER.read(with_payload('{"x":' + text + "}")), GENESIS_HASH)
        assert b'"x":%b}' % text.encode() in canonical


ways: dict[str, Callable[[bytes], list[UnlinkedEvent]]] = {
    "one": lambda data: [READER.read(data)],
    "array": lambda data: READER.read_array(data, max_events=50),
    "ndjson": lambda data: READER.read_ndjson(data, max_events=50),
}

fragments = st.sampled_from(
    [
        *[b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b" ", b"\xff", b"\xef\xbb\xbf", b"\x00", b"\\ud800"],
        *[b'"kind"', b'"source"', b'"payload"', b'"timestamp"', b'"other"', b'"s"', b"null", b"true", b"NaN", b"1e400"],
        *[b"9" * 5_000, b"[" * 200, b'{"a":' * 200, b'{"kind":"other","source":"s"}', b'{"kind":"other","source":"s"'],
        *[b'"2026-05-15T03:14:15Z"', b'"9999-12-31T23:59:60-23:59"', b'"0001-01-01T00:00:00+23:59"', b"-0", b"1E5"],
    ]
)


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=60) | st.lists(fragments, max_size=14).map(b"".join), way=st.sampled_from([*ways]))
@example(data=b"[" * 100_000, way="array")
@example(data=b'{"kind":' * 100_000, way="one")
def test_any_bytes_are_events_or_refused(data: bytes, way: str) -> None:
    try:
        accepted = ways[way](data)
    except EventRejected as error:
        str(error).encode("ascii", "strict" if way == "one" else "replace")
    else:
        for prepared in accepted:
            join(1, prepared, GENESIS_HASH).decode("ascii")


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["other", "request_denied"]) | values,
            "source": st.sampled_from(["s"]) | values,
            "payload": st.dictionaries(st.text(max_size=3), values, max_size=3) | values,
            "timestamp": st.sampled_from(["2026-05-15T03:14:15Z"]) | values,
            "other": values,
        },
    )
)
def test_any_json_text_is_an_event_or_refused(fields: dict[str, Any]) -> None:
    data = json.dumps(fields).encode()  # NaN and lone surrogates included, as careless producers write them
    try:
        prepared = READER.read(data)
    except EventRejected:
        return
    kept = fields_of(prepared)
    assert kept["payload"] == fields.get("payload", {})
    assert kept["kind"] == fields["kind"]
    assert kept["source"] == fields["source"]


def test_a_batch_is_read_in_order_from_an_array_and_from_lines() -> None:
    items = [body(payload={"n": n}) for n in range(3)]
    from_array = READER.read_array(b"[%b]" % b",".join(items), max_events=3)
    from_lines = READER.read_ndjson(b"\r\n" + b"\n \n".join(items) + b"\n\n", max_events=3)
    assert from_array == from_lines == [READER.read(item) for item in items]


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (b"{}", "kind", "is required"),
        (b'{"kind":"other","source":""}', "source", "is empty"),
        (b'{"kind":"other","source":"s","payload":7}', "payload", "object"),
        (b"7", "", "object"),
        (with_payload(nested(129)), "payload", "nests"),
        (with_payload(nested(900)), "payload", "nests"),
        (with_payload('{"x":%s}' % ("9" * 5_000)), "payload", "number"),
        (body(payload={"x": "y" * 70_000}), "payload", "65535"),
    ],
)
@pytest.mark.parametrize("index", [0, 2])
def test_a_bad_item_of_a_batch_is_named_by_its_index(bad: bytes, field: str, reason: str, index: int) -> None:
    items = [body(), body()]
    items.insert(index, bad)
    for read, data in ((READER.read_array, b"[%b]" % b",".join(items)), (READER.read_ndjson, b"\n".join(items))):
        with pytest.raises(EventRejected) as caught:
            read(data, max_events=10)
        assert caught.value.field == (f"[{index}].{field}" if field else f"[{index}]")
        assert reason in caught.value.reason


def test_an_array_with_an_item_too_deep_to_be_read_at_all_is_refused() -> None:
    """Where it is in the array cannot be said: no reader gets past it."""
    with pytest.raises(EventRejected, match="nests more than 128 levels deep"):
        READER.read_array(b"[%b,%b]" % (body(), with_payload(nested(100_000))), max_events=10)


@pytest.mark.parametrize("count", [0, 11])
def test_a_batch_that_is_empty_or_too_long_is_refused(count: int) -> None:
    reason = "empty" if count == 0 else "has 11 events; 10 are allowed"
    with pytest.raises(EventRejected, match=reason):
        READER.read_array(b"[%b]" % b",".join([body()] * count), max_events=10)
    with pytest.raises(EventRejected, match=reason):
        READER.read_ndjson(b"\n" + b"\n".join([body()] * count), max_events=10)
