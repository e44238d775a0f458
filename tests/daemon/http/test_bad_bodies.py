"""Bodies that are no events: a 422 that names the field and the reason; nothing stored, nothing echoed, no harm."""

from __future__ import annotations

import gzip
from http import HTTPStatus

import pytest

from tests.daemon.http.refusals import MARKER, assert_problem, assert_refused, event_count
from tests.daemon.http.wire import exchange, request
from tests.daemon_process import DaemonProcess

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
GOOD = b'{"kind":"other","source":"s"}'


def with_payload(payload: bytes) -> bytes:
    return b'{"kind":"other","source":"s","payload":' + payload + b"}"


def with_value(value: bytes) -> bytes:
    return with_payload(b'{"marker":"%b","value":%b}' % (MARKER.encode(), value))


def with_fields(fields: str) -> bytes:
    return b'{"payload":{"marker":"%b"},%b}' % (MARKER.encode(), fields.encode())


BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the body is empty"),
    "white space": (b" \r\n\t", "the body is empty"),
    "cut off": (with_value(b"1")[:-1], "no valid JSON"),
    "two objects": (GOOD + GOOD, "no valid JSON"),
    "trailing comma": (b'{"kind":"other","source":"s",}', "no valid JSON"),
    "single quotes": (b"{'kind':'other','source':'s'}", "no valid JSON"),
    "a comment": (GOOD + b"// " + MARKER.encode(), "no valid JSON"),
    "a form": (b"kind=other&source=s&payload=" + MARKER.encode(), "no valid JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "no valid JSON"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "no valid JSON"),
    "null": (b"null", "expected object"),
    "an array": (b"[" + GOOD + b"]", "expected object"),
    "a string": (b'"%b"' % MARKER.encode(), "expected object"),
    "a number": (b"1", "expected object"),
    "NaN": (with_value(b"NaN"), "payload: holds NaN"),
    "Infinity": (with_value(b"Infinity"), "payload: holds NaN, an infinity"),
    "-Infinity": (with_value(b"[[-Infinity]]"), "payload: holds NaN, an infinity"),
    "1e400": (with_value(b"1e400"), "payload: holds a number"),
    "-1e400": (with_value(b"-1e400"), "payload: holds a number"),
    "an integer of 5,000 digits": (with_value(b"9" * 5000), "payload: holds a number"),
    "a negative integer of 5,000 digits": (with_value(b"-" + b"9" * 5000), "payload: holds a number"),
    "a leading zero": (with_value(b"01"), "no valid JSON"),
    "a lone high surrogate": (with_value(rb'"\ud800"'), "payload: holds a lone surrogate"),
    "a lone low surrogate": (with_value(rb'"\udfff"'), "payload: holds a lone surrogate"),
    "surrogates in the wrong order": (with_value(rb'"\udc00\ud800"'), "payload: holds a lone surrogate"),
    "a lone surrogate in a payload key": (with_value(rb'{"\ud800":1}'), "payload: holds a lone surrogate"),
    "a lone surrogate in source": (with_fields(r'"kind":"other","source":"\ud800"'), "source: holds a lone surrogate"),
    "a lone surrogate in kind": (with_fields(r'"kind":"\ud800","source":"s"'), "kind: holds a lone surrogate"),
    "a lone surrogate in a field": (with_fields(r'"kind":"other","source":"s","\ud800":1'), "holds a lone surrogate"),
    "invalid UTF-8 in a value": (with_value(b'"\xff"'), "not UTF-8"),
    "invalid UTF-8 in a key": (with_payload(b'{"\xff":1}'), "not UTF-8"),
    "overlong UTF-8": (with_value(b'"\xc0\xaf"'), "not UTF-8"),
    "a surrogate in UTF-8": (with_value(b'"\xed\xa0\x80"'), "not UTF-8"),
    "a control character": (with_value(b'"\n"'), "no valid JSON"),
    "nesting of 129": (with_value(b"[" * 128 + b"]" * 128), "payload: nests more than 128 levels"),
    "nesting of 300": (with_value(b"[" * 300 + b"]" * 300), "payload: nests more than 128 levels"),
    "nesting of 300 objects": (with_value(b'{"a":' * 300 + b"1" + b"}" * 300), "payload: nests more than 128 levels"),
    "nesting of 100,000": (with_value(b"[" * 100_000 + b"]" * 100_000), "payload: nests more than 128 levels"),
    "nesting of 100,000 objects": (with_payload(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "payload: nests more"),
    "nesting of 100,000, never closed": (with_value(b"[" * 100_000), "payload: nests more than 128 levels"),
    "nesting of 100,000 in place of the event": (b"[" * 100_000 + b"]" * 100_000, "expected object"),
    "a payload beyond the limit": (with_value(b'"' + b"x" * 65_536 + b'"'), "payload: the event would take"),
    "a payload beyond the limit when escaped": (with_value(b'"' + "é".encode() * 11_000 + b'"'), "payload: the event"),
    "payload is an array": (with_payload(b'["%b"]' % MARKER.encode()), "payload: expected object"),
    "payload is a string": (with_payload(b'"%b"' % MARKER.encode()), "payload: expected object"),
    "payload is null": (with_payload(b"null"), "payload: expected object"),
    "kind is missing": (with_fields('"source":"s"'), "kind: is required"),
    "kind is null": (with_fields('"kind":null,"source":"s"'), "kind: expected str"),
    "kind is a number": (with_fields('"kind":1,"source":"s"'), "kind: expected str"),
    "kind is empty": (with_fields('"kind":"","source":"s"'), "kind: is empty"),
    "kind is unknown": (with_fields('"kind":"nope","source":"s"'), "add it to AUDIT_STREAM_EXTRA_KINDS"),
    "kind is in capitals": (with_fields('"kind":"OTHER","source":"s"'), "kind: "),
    "source is missing": (with_fields('"kind":"other"'), "source: is required"),
    "source is empty": (with_fields('"kind":"other","source":""'), "source: is empty"),
    "source is a number": (with_fields('"kind":"other","source":1'), "source: expected str"),
    "source has 129 characters": (with_fields(f'"kind":"other","source":"{"a" * 129}"'), "source: must be 1 to 128"),
    "source has a space": (with_fields(f'"kind":"other","source":"s {MARKER}"'), "source: must be"),
    "source ends in a newline": (with_fields(r'"kind":"other","source":"s\n"'), "source: must be"),
    "source has a NUL": (with_fields(r'"kind":"other","source":"s\u0000"'), "source: must be"),
    "source is not ASCII": (with_fields('"kind":"other","source":"é"'), "source: must be"),
    "timestamp is empty": (with_fields('"kind":"other","source":"s","timestamp":""'), "timestamp: "),
    "timestamp is no instant": (with_fields(f'"kind":"other","source":"s","timestamp":"{MARKER}"'), "timestamp: "),
    "timestamp has no offset": (
        with_fields('"kind":"other","source":"s","timestamp":"2026-05-15T03:14:15"'),
        "timestamp: ",
    ),
    "timestamp is no day": (
        with_fields('"kind":"other","source":"s","timestamp":"2026-02-30T00:00:00Z"'),
        "timestamp: there is no such date",
    ),
    "timestamp is a number": (with_fields('"kind":"other","source":"s","timestamp":1'), "timestamp: expected str"),
    "an unknown field": (with_fields('"kind":"other","source":"s","level":1'), "level: is not a field"),
    "the store's own field": (with_fields('"kind":"other","source":"s","event_id":1'), "event_id: is not a field"),
    "the hash": (with_fields('"kind":"other","source":"s","hash":"0"'), "hash: is not a field"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_by_field_and_reason(daemon: DaemonProcess, name: str) -> None:
    body, detail = BODIES[name]
    headers = JSON | {"Content-Length": str(len(body))}
    assert_refused(daemon, request("POST", "/events", headers, body), 422, detail)


IN_A_BATCH = [name for name, (_, detail) in BODIES.items() if ": " in detail or "expected object" in detail]


@pytest.mark.parametrize("name", IN_A_BATCH)
def test_a_bad_item_is_refused_by_its_index_and_nothing_of_the_batch_is_stored(
    daemon: DaemonProcess, name: str
) -> None:
    item, detail = BODIES[name]
    body = b"[" + GOOD + b",\n" + GOOD + b"," + item + b"]"
    if "100,000" in name:  # the array itself cannot be read down to its items
        assert_refused(daemon, request("POST", "/events/batch", JSON, body), 422)
    else:
        assert_refused(daemon, request("POST", "/events/batch", JSON, body), 422, "[2]", detail)


@pytest.mark.parametrize("name", [name for name in BODIES if BODIES[name][0].strip() and "UTF-16" not in name])
def test_a_bad_line_is_refused_by_its_index_and_nothing_of_the_batch_is_stored(
    daemon: DaemonProcess, name: str
) -> None:
    line, detail = BODIES[name]
    if b"\n" in line:  # two lines, both of them bad
        detail = "no valid JSON"
    body = GOOD + b"\r\n\r\n" + line + b"\n" + GOOD
    assert_refused(daemon, request("POST", "/events/batch", NDJSON, body), 422, "[1]", detail)


BATCHES = {
    "an empty array": (b"[]", "the batch is empty"),
    "an empty body": (b"", "the body is empty"),
    "one event in place of an array": (GOOD, "expected array"),
    "null": (b"null", "expected array"),
    "cut off": (b"[" + GOOD + b",", "no valid JSON"),
    "10,001 events": (b"[" + b",".join([GOOD] * 10_001) + b"]", "10001 events; 10000 are allowed"),
    "the last of 10,000 is bad": (b"[" + b",".join([*[GOOD] * 9_999, b'{"kind":"other"}']) + b"]", "[9999].source"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_bad_batch_is_refused_whole(daemon: DaemonProcess, name: str) -> None:
    body, detail = BATCHES[name]
    headers = JSON | {"Content-Length": str(len(body))}
    assert_refused(daemon, request("POST", "/events/batch", headers, body), 422, detail)


def test_10001_lines_are_refused(daemon: DaemonProcess) -> None:
    body = b"\n".join([GOOD] * 10_001)
    assert_refused(daemon, request("POST", "/events/batch", NDJSON, body), 422, "10001 events")


def test_blank_lines_alone_are_an_empty_batch(daemon: DaemonProcess) -> None:
    assert_refused(daemon, request("POST", "/events/batch", NDJSON, b"\r\n \n\n"), 422, "the batch is empty")


CONTENT_TYPES = [
    "text/plain",
    "text/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonx",
    "application/json, text/plain",
    "application/octet-stream",
    "json",
    "",
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_another_content_type_is_refused(daemon: DaemonProcess, target: str, content_type: str) -> None:
    body = with_value(b"1") if target == "/events" else b"[" + with_value(b"1") + b"]"
    answer = assert_refused(
        daemon, request("POST", target, {"Content-Type": content_type}, body), 415, "Content-Type", "application/json"
    )
    assert answer.headers["accept-post"] == "application/json"


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_a_missing_content_type_is_refused(daemon: DaemonProcess, target: str) -> None:
    assert_refused(daemon, request("POST", target, {}, with_value(b"1")), 415, "Content-Type")


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_a_compressed_body_is_refused(daemon: DaemonProcess, target: str) -> None:
    compressed = request("POST", target, JSON | {"Content-Encoding": "gzip"}, gzip.compress(with_value(b"1")))
    assert_refused(daemon, compressed, 415, "Content-Encoding")


def test_lines_are_refused_where_one_event_is_expected(daemon: DaemonProcess) -> None:
    assert_refused(daemon, request("POST", "/events", NDJSON, GOOD), 415, "application/json")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON", "application/json;charset=utf-8", "application/ld+json"]
)
def test_json_by_any_of_its_names_is_accepted(daemon: DaemonProcess, content_type: str) -> None:
    answer = exchange(daemon.port, request("POST", "/events", {"Content-Type": content_type}, GOOD))
    assert answer.status == 201


@pytest.mark.parametrize(
    "key", ["", " ", "two words", "tab\there", "é", "x" * 256], ids=["empty", "space", "words", "tab", "é", "long"]
)
@pytest.mark.parametrize("target", ["/events", "/events/batch"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(daemon: DaemonProcess, target: str, key: str) -> None:
    body = GOOD if target == "/events" else b"[" + GOOD + b"]"
    assert_refused(daemon, request("POST", target, JSON | {"Idempotency-Key": key}, body), 400, "Idempotency-Key")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"kind":"row_changed","source":"s"}', "AUDIT_STREAM_EXTRA_KINDS"),
        (b'{"kind":"other"}', "source: is required"),
        (b'{"kind":"other","source":"two words"}', "(got 9 characters)"),
        (b'{"kind":"other","source":"s","timestamp":"today"}', "to have the daemon stamp it"),
        (b'{"kind":"other","source":"s","level":1}', "level: is not a field of an event"),
    ],
    ids=["kind", "no source", "source", "timestamp", "field"],
)
def test_the_first_200_characters_of_an_answer_say_what_was_wrong(
    daemon: DaemonProcess, body: bytes, names: str
) -> None:
    """Producers log no more of it."""
    start = exchange(daemon.port, request("POST", "/events", JSON, body)).body[:200].decode()
    assert HTTPStatus(422).phrase in start  # Python 3.13 calls it by its newer name
    assert names in start


ACCEPTED_EDGES = {
    "nesting of 128": with_payload(b'{"a":' + b"[" * 127 + b"]" * 127 + b"}"),
    "an integer of 4,300 digits": with_value(b"9" * 4300),
    "the largest float": with_value(b"1.7976931348623157e308"),
    "surrogates in pairs": with_value(rb'"\ud83d\ude00"'),
    "NUL in a value": with_value(rb'"\u0000"'),
    "an empty key": with_payload(b'{"":{}}'),
    "source of 128 characters": b'{"kind":"other","source":"%b"}' % (b"a" * 128),
    "timestamp is null": b'{"kind":"other","source":"s","timestamp":null}',
    "much white space": GOOD + b" " * ((1 << 20) - len(GOOD)),
}


@pytest.mark.parametrize("name", ACCEPTED_EDGES)
def test_what_is_just_within_the_limits_is_stored(daemon: DaemonProcess, name: str) -> None:
    answer = exchange(daemon.port, request("POST", "/events", JSON, ACCEPTED_EDGES[name]))
    assert answer.status == 201


def test_a_batch_of_16_mib_is_stored_and_one_byte_more_is_refused(daemon: DaemonProcess) -> None:
    before = event_count(daemon)
    batch = b"[" + GOOD + b"]"
    padded = batch + b" " * ((16 << 20) - len(batch))
    assert exchange(daemon.port, request("POST", "/events/batch", JSON, padded)).status == 201
    assert_problem(exchange(daemon.port, request("POST", "/events/batch", JSON, padded + b" ")), 413, "16777216 bytes")
    assert event_count(daemon) == before + 1
