"""The loop over a database has a fast path; it answers as `event_check` does, and as the console and an import do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from audit_daemon.store.bulk import append_events
from audit_stream.canonical import canonical_bytes, hash_of, prepare
from audit_stream.chain import GENESIS, Head, link
from audit_stream.client import RawEvent
from audit_stream.errors import ChainError
from audit_stream.event_check import EventCheck, hash_mismatch
from audit_stream.exports import verify_export
from audit_stream.kinds import DEFAULT_KINDS
from audit_stream.logfile.canonical_form import encoded, event_fields
from audit_stream.logfile.segment import Break, check_segment, state_before
from audit_stream.logfile.served import served_event
from audit_stream.logfile.tables import TABLES
from audit_tui.model.rows import Check, Row, check_after, read_row

Rows = list[tuple[int, bytes, str]]
"""The id, the hashed bytes and the hash of each row: what somebody who can write the file may change."""

_TIMESTAMP = "2026-05-15T03:14:15.926+00:00"

texts = st.sampled_from(['","source":"s","timestamp":"', '"prev_hash":"', "é", "\x7f\x00", "}", ""]) | st.text(
    max_size=4
)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
payloads = st.dictionaries(
    texts.filter(lambda text: text.isprintable()),
    st.recursive(values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner)),
    max_size=3,
)


def chain(contents: list[dict[str, Any]]) -> Rows:
    """Of one series and one instant, so that bytes which change their place fit its columns."""
    prepared = [
        prepare(kind="other", source="test", payload=payload, timestamp=_TIMESTAMP, time_ms=1_778_814_855_926)
        for payload in contents
    ]
    return [(each.event_id, each.canonical, each.hash) for each in link(GENESIS, prepared)]


def _with(field: str, value: object) -> Callable[[bytes], bytes]:
    def change(canonical: bytes) -> bytes:
        fields = event_fields(canonical)
        return canonical if fields is None else canonical_bytes(fields | {field: value})

    return change


changes = st.one_of(
    st.builds(_with, st.just("payload"), payloads),
    st.builds(_with, st.just("prev_hash"), st.sampled_from(["0" * 64, "f" * 64, "é", ""])),
    st.builds(_with, st.just("event_id"), st.integers(1, 9)),
    st.sampled_from(
        [
            lambda canonical: canonical + b" ",
            lambda canonical: canonical.replace(b":", b": ", 1),
            lambda canonical: canonical[:-1],
            lambda canonical: b"{" + canonical[1:-1] + b',"more":1}',
            lambda canonical: b"",
            lambda canonical: b"\xff",
            lambda canonical: b"[]",
        ]
    ),
)


@st.composite
def tampered_chains(draw: st.DrawFn) -> tuple[int, Rows]:
    """How many events the log had, and its rows after somebody changed some, in the order of their ids."""
    rows = chain(draw(st.lists(payloads, min_size=1, max_size=7)))
    count = len(rows)
    for _ in range(draw(st.integers(0, 3))):
        if not rows:
            break
        at, other = (draw(st.integers(0, len(rows) - 1)) for _ in range(2))
        event_id, canonical, hash_ = rows[at]
        match draw(st.sampled_from(["bytes", "bytes and hash", "hash", "swap", "copy", "delete", "relink"])):
            case "bytes":
                rows[at] = (event_id, draw(changes)(canonical), hash_)
            case "bytes and hash":
                canonical = draw(changes)(canonical)
                rows[at] = (event_id, canonical, hash_of(canonical))
            case "hash":
                rows[at] = (event_id, canonical, draw(st.sampled_from(["0" * 64, hash_.upper(), hash_[:16], "", "é"])))
            case "swap":
                rows[at], rows[other] = (event_id, *rows[other][1:]), (rows[other][0], canonical, hash_)
            case "copy":
                rows[at] = (event_id, *rows[other][1:])
            case "delete":
                del rows[at]
            case _:  # everything from here on is linked and hashed anew: only the head could tell
                for index in range(max(at, 1), len(rows)):
                    canonical = _with("prev_hash", rows[index - 1][2])(rows[index][1])
                    rows[index] = (rows[index][0], canonical, hash_of(canonical))
    return count, rows


def by_database(count: int, rows: Rows) -> Break | None:
    """What the loop says of a database that holds these rows."""
    intact = chain([{} for _ in range(count)])
    fields = {"kind": "other", "source": "test", "timestamp": _TIMESTAMP}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(TABLES)
        append_events(
            connection, ((canonical, {**fields, "event_id": id_, "hash": hash_}) for id_, canonical, hash_ in intact)
        )
        kept = {event_id for event_id, _, _ in rows}
        connection.executemany(
            "DELETE FROM events WHERE event_id = ?", [(i,) for i in range(1, count + 1) if i not in kept]
        )
        connection.executemany(
            "UPDATE events SET canonical = ?, hash = ? WHERE event_id = ?",
            [(canonical, hash_, event_id) for event_id, canonical, hash_ in rows],
        )
        connection.text_factory = bytearray
        for found in check_segment(connection, state_before(connection, 1), count):
            if isinstance(found, Break):
                return found
    return None


def by_event_check(count: int, rows: Rows) -> Break | None:
    """The same without a fast path: each event taken apart by itself."""
    before = GENESIS
    for event_id, canonical, hash_ in rows:
        at = before.event_id + 1
        if event_id != at:
            return Break(event_id=at, reason=f"event_id should be {at}, got {event_id}")
        fields, computed = event_fields(canonical), hash_of(canonical)
        if fields is None:
            no_event = f"the hashed bytes are no event at event #{at}"
            return Break(event_id=at, reason=no_event if computed == hash_ else hash_mismatch(at))
        found = EventCheck(at, canonical, computed, hash_, before.hash, fields["prev_hash"])
        if not found.holds:
            return Break(event_id=at, reason=found.reasons[0])
        if fields["event_id"] != at:
            return Break(event_id=at, reason=f"event_id should be {at}, got {fields['event_id']}")
        if encoded(fields).encode("ascii") != canonical:
            return Break(event_id=at, reason=f"the hashed bytes are not in canonical form at event #{at}")
        before = Head(at, hash_)
    at = before.event_id + 1
    return None if before.event_id == count else Break(event_id=at, reason=f"event_id should be {at}, got none")


def by_console(rows: Rows) -> Break | None:
    """What a console says of these rows as a daemon serves them."""
    before: Row | None = None
    for event_id, canonical, hash_ in rows:
        row = read_row(RawEvent(served_event(event_id, canonical, hash_)), DEFAULT_KINDS)
        check_after(before, row)
        if row.check is Check.BROKEN:
            return Break(event_id=row.event_id, reason=row.reason)
        before = row
    return None


def by_import(rows: Rows) -> Break | None:
    """What `audit-stream import` says of them."""
    try:
        for _ in verify_export({**json.loads(canonical), "hash": hash_} for _, canonical, hash_ in rows):
            pass
    except ChainError as error:
        return Break(event_id=error.event_id, reason=error.reason)
    return None


def whole(rows: Rows) -> Rows:
    """The rows up to the first that is gone, or whose bytes are not an event of its id in canonical form."""
    for index, (event_id, canonical, _) in enumerate(rows):
        fields = event_fields(canonical)
        if event_id != index + 1 or fields is None or fields["event_id"] != event_id:
            return rows[:index]
        if encoded(fields).encode("ascii") != canonical:
            return rows[:index]
    return rows


@settings(deadline=None, max_examples=200)
@given(tampered_chains())
def test_a_database_is_judged_as_its_events_are_one_by_one(log: tuple[int, Rows]) -> None:
    assert by_database(*log) == by_event_check(*log)


@settings(deadline=None, max_examples=100)
@given(tampered_chains())
def test_verification_console_and_import_name_the_same_break_for_the_same_reason(log: tuple[int, Rows]) -> None:
    rows = whole(log[1])
    assert by_database(len(rows), rows) == by_console(rows) == by_import(rows)
