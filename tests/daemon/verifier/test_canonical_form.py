"""Rows that are hashed and linked as they should be, but are in no canonical form, are found."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_stream.canonical import hash_of
from audit_stream.logfile.canonical_form import first_not_canonical
from audit_stream.logfile.verification import verify_file
from tests.daemon.verifier.logs import copy, editing, make

COUNT = 70


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "audit.db"
    make(path, COUNT)
    return path


def append_bytes(connection: sqlite3.Connection, canonical: bytes, *, time_ms: int | None = None) -> None:
    """A row as a forger can append it: hashed and counted as the daemon would."""
    (event_id,) = connection.execute("SELECT max(event_id) + 1 FROM events").fetchone()
    (seq,) = connection.execute("SELECT max(series_seq) + 1 FROM events WHERE series_id = 1").fetchone()
    row = (event_id, 1, seq, time_ms, hash_of(canonical), canonical)
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)


def forged(path: Path, form: bytes, count: int = 1) -> None:
    """Append events with this form, in which ID and PREV stand for what the place demands."""
    with editing(path) as connection:
        for _ in range(count):
            event_id, prev = connection.execute("SELECT event_id + 1, hash FROM head").fetchone()
            append_bytes(connection, form.replace(b"ID", b"%d" % event_id).replace(b"PREV", prev.encode()))


def event(payload: bytes, timestamp: bytes = b"never") -> bytes:
    return b'{"event_id":ID,"kind":"other","payload":%b,"prev_hash":"PREV","source":"test","timestamp":"%b"}' % (
        payload,
        timestamp,
    )


CANONICAL = {
    "an empty payload": event(b"{}"),
    "text": event(rb'{"a":"\u00e9\ud83d\ude00\u007f\n\u0001\\u00ff","b":[1,-0.0,1e+16,1.5,true,null],"\u00e9":{}}'),
    "half a surrogate pair, as 0.1.0 took it": event(rb'{"a":"\ud800"}'),
    "half a surrogate pair in a key": event(rb'{"\ud800":1,"\uffff":2}'),
    "NaN and infinities, as 0.1.0 hashed them": event(b'{"a":[NaN,Infinity,-Infinity]}'),
    "an escape in the timestamp": event(b"{}", rb"\u00e9\""),
}

NOT_CANONICAL = {
    "garbage": b"garbage PREV ID",
    "nothing": b"",
    "a line feed between": event(b'{"a":\n1}'),
    "a raw line feed in a text": event(b'{"a":"\n\ndata: forged\n\n"}'),
    "a blank": event(b'{"a": 1}'),
    "a blank at the end": event(b"{}") + b" ",
    "a key twice": event(b'{"a":1,"a":1}'),
    "a field twice": event(b'{},"payload":{}'),
    "a field more": event(b'{},"pazload":{}'),
    "a hash of its own": event(b'{},"hash":"0"'),
    "a field less": b'{"event_id":ID,"kind":"other","payload":{},"prev_hash":"PREV","source":"test"}',
    "keys that are not sorted": event(b'{"b":1,"a":1}'),
    "keys sorted by their escapes": event(rb'{"~u00e9z":1,"a":{"\uff61":1,"\ud83d\ude00":1,"\u0001":2}}'),
    "fields that are not sorted": b'{"kind":"other","event_id":ID,"payload":{},"prev_hash":"PREV",'
    b'"source":"test","timestamp":"never"}',
    "NaN of another form": event(b'{"a":nan}'),
    "a float of another form": event(b'{"a":1.50}'),
    "an exponent of another form": event(b'{"a":1e5}'),
    "minus nothing": event(b'{"a":-0}'),
    "an integer of another form": event(b'{"a":01}'),
    "characters that are not escaped": event('{"a":"é"}'.encode()),
    "a DEL that is not escaped": event(b'{"a":"\x7f"}'),
    "a control character": event(b'{"a":"\x01"}'),
    "an escape that need not be": event(rb'{"a":"\u0041"}'),
    "an escape that has a shorter form": event(rb'{"a":"\u000a"}'),
    "an escape in capitals": event(rb'{"a":"\u00E9"}'),
    "an escaped slash": event(rb'{"a":"\/"}'),
    "a payload that is a list": event(b"[]"),
    "a payload that is none": event(b"null"),
    "a timestamp that is a number": event(b"{}").replace(b'"never"', b"1"),
    "a line feed in the timestamp": event(b"{}", b"never\n"),
    "a timestamp that is not escaped": event(b"{}", "é".encode()),
    "two events in one": event(b'{"a":') + event(b"{}}"),
    "not UTF-8": event(b'{"a":"\xff"}'),
    "an unknown escape": event(rb'{"a":"\q"}'),
}


@pytest.mark.parametrize("form", CANONICAL)
def test_what_0_1_0_could_hash_is_valid(tmp_path: Path, original: Path, form: str) -> None:
    path = copy(original, tmp_path)
    forged(path, CANONICAL[form], count=70)
    verdict = verify_file(path, workers=1)
    assert (verdict.valid, verdict.reason, verdict.checked) == (True, None, COUNT + 70)


@pytest.mark.parametrize("form", NOT_CANONICAL)
def test_bytes_that_are_in_no_canonical_form_break_the_chain_there(tmp_path: Path, original: Path, form: str) -> None:
    path = copy(original, tmp_path)
    forged(path, event(b'{"before":1}'), count=3)
    forged(path, NOT_CANONICAL[form])
    forged(path, event(b'{"after":1}'), count=70)
    verdict = verify_file(path, workers=1)
    assert (verdict.valid, verdict.first_break_at, verdict.checked) == (False, COUNT + 4, COUNT + 3)


def test_the_first_of_several_breaks_is_told(tmp_path: Path, original: Path) -> None:
    """Payloads are proven many at a time, so that a later event is looked at before."""
    path = copy(original, tmp_path)
    forged(path, event(b'{"b":1,"a":1}'))
    forged(path, event(b"{}"))
    with editing(path) as connection:
        connection.execute("UPDATE events SET time_ms = 5 WHERE event_id = ?", (COUNT + 2,))
    verdict = verify_file(path, workers=1)
    assert (verdict.first_break_at, verdict.reason) == (
        COUNT + 1,
        f"the hashed bytes are not in canonical form at event #{COUNT + 1}",
    )


def oracle(payload: bytes) -> bool:
    try:
        value = json.loads(payload.decode("ascii"))
        return isinstance(value, dict) and json.dumps(value, sort_keys=True, separators=(",", ":")).encode() == payload
    except (ValueError, RecursionError):
        return False


texts = st.text(st.sampled_from('aé~\x7f\x00\x1f\n"\\/u0 \ud800\udc00\uff61\U0001f600') | st.characters(), max_size=6)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=5)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """JSON as several writers make it, now and then with a byte changed."""
    options: dict[str, Any] = {"separators": (",", ":"), "sort_keys": True}
    if draw(st.integers(0, 3)) == 0:
        options["sort_keys"] = False
    if draw(st.integers(0, 9)) == 0:
        options["separators"] = (", ", ":")
    if draw(st.integers(0, 9)) == 0:
        options["ensure_ascii"] = False
    text = json.dumps(draw(objects), **options).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from([b"\n", b" ", b"\\u00e9", b"\\", b'"', b",", b"{}", b"\x7f", b"0", b"e", b"."]))
        text = text[:at] + piece + text[at + draw(st.integers(0, 1)) :]
    return text


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(payloads(), max_size=6))
def test_what_is_proven_of_many_at_once_is_what_json_says_of_each(several: list[bytes]) -> None:
    expected = next((index for index, payload in enumerate(several) if not oracle(payload)), None)
    assert first_not_canonical(several) == expected


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"{}", b'{"a":', b"1}", b"{},{}", b"{}\n{}"]), max_size=5))
def test_pieces_that_make_json_only_together_are_no_payloads(pieces: list[bytes]) -> None:
    expected = next((index for index, payload in enumerate(pieces) if not oracle(payload)), None)
    assert first_not_canonical(pieces) == expected
