"""What a plan tells a store, and what SQLite makes of it."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from audit_stream.canonical import canonical_bytes
from audit_stream.filters import Plan, parse, plan, register
from audit_stream.timestamps import parse_rfc3339_ms

NOW_MS = parse_rfc3339_ms("2026-05-15T12:00:00Z")
MINUTE_MS = 60_000


def planned(text: str) -> Plan:
    return plan(parse(text, now_ms=NOW_MS))


def test_the_empty_filter_asks_nothing_of_a_store() -> None:
    assert planned("") == Plan(
        kind_terms=(),
        sources=None,
        source_terms=(),
        since_ms=None,
        until_ms=None,
        min_id=None,
        max_id=None,
        where="",
        params=(),
    )
    assert planned("").all_series


@pytest.mark.parametrize(
    ("text", "kind", "source", "expected"),
    [
        ("kind:request_*", "request_denied", "any", True),
        ("kind:request_*", "watch_created", "any", False),
        ("kind:request_* -kind:request_allowed", "request_allowed", "any", False),
        ("kind:request_* source:policy-*", "request_denied", "other", False),
        ("severity:>=critical", "slo_burn_started", "any", True),
        ("-severity:>=critical", "slo_burn_started", "any", False),
        ("kind:request_* payload.x:1 since:1h text", "request_denied", "any", True),
    ],
)
def test_series_are_chosen_by_the_terms_about_kind_source_and_severity(
    text: str, kind: str, source: str, expected: bool
) -> None:
    assert not planned(text).all_series
    assert planned(text).series_matches(kind, source) is expected


@pytest.mark.parametrize(
    "text", ["kind:a,b* -kind:c source:x severity:>info", "since:1h until:1m", "id:>5 id:<=9 id:7"]
)
def test_series_and_bounds_leave_nothing_for_sql(text: str) -> None:
    assert planned(text).where == ""
    assert planned(text).params == ()


def test_the_tightest_of_several_bounds_count() -> None:
    several = planned("since:1h since:10m until:5m until:1m id:>=5 id:2..8,20 id:<=15")
    assert (several.since_ms, several.until_ms) == (NOW_MS - 10 * MINUTE_MS, NOW_MS - 5 * MINUTE_MS)
    assert (several.min_id, several.max_id) == (5, 15)


def test_negated_terms_bound_nothing() -> None:
    negated = planned("-since:1h -until:1m -id:5..9")
    assert (negated.since_ms, negated.until_ms, negated.min_id, negated.max_id) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "where", "params"),
    [
        pytest.param(
            "payload.a.b:x",
            "(instr(canonical, ?) > 0) AND instr(canonical, ?) > 0 AND instr(canonical, ?) > 0"
            " AND audit_match(?, canonical)",
            (b'"x"', b'"a":', b'"b":', "payload.a.b:x"),
            id="a string: its literal and its keys",
        ),
        pytest.param(
            "payload.é:ab*cde",
            "(instr(canonical, ?) > 0) AND instr(canonical, ?) > 0 AND audit_match(?, canonical)",
            (b'cde"', b'"\\u00e9":', "payload.é:ab*cde"),
            id="a glob: its longest part, escaped as in the canonical form",
        ),
        pytest.param(
            "payload.a:x,5",
            "instr(canonical, ?) > 0 AND audit_match(?, canonical)",
            (b'"a":', "payload.a:x,5"),
            id="a number can be written in several ways",
        ),
        pytest.param("-payload.a:x", "audit_match(?, canonical)", ("-payload.a:x",), id="a negated term: exact only"),
        pytest.param(
            "50%_off",
            "(CAST(canonical AS TEXT) LIKE ? ESCAPE '^' OR instr(canonical, ?) > 0) AND audit_match(?, canonical)",
            ("%50^%^_off%", b"\\u", '"50%_off"'),
            id="free text: in ASCII or in a row that is not ASCII",
        ),
        pytest.param(
            '"é"',
            "(instr(canonical, ?) > 0) AND audit_match(?, canonical)",
            (b"\\u", "é"),
            id="free text that is not ASCII: in a row that is not ASCII",
        ),
        pytest.param("-text", "audit_match(?, canonical)", ("-text",), id="negated free text: exact only"),
        pytest.param(
            "payload.a:>1 kind:b since:1h -payload.b:*",
            "instr(canonical, ?) > 0 AND audit_match(?, canonical)",
            (b'"a":', "payload.a:>1 -payload.b:*"),
            id="one call decodes a row once for all terms",
        ),
        pytest.param(
            "-since:1m", "NOT ifnull(time_ms >= ?, 0)", (NOW_MS - MINUTE_MS,), id="not since: rows without a time too"
        ),
        pytest.param(
            "id:1,5..9",
            "(event_id BETWEEN ? AND ? OR event_id BETWEEN ? AND ?)",
            (1, 1, 5, 9),
            id="ranges with gaps",
        ),
    ],
)
def test_sql_holds_what_remains(text: str, where: str, params: tuple[object, ...]) -> None:
    assert (planned(text).where, planned(text).params) == (where, params)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:")
    opened.execute("CREATE TABLE events (event_id INTEGER PRIMARY KEY, time_ms INTEGER, canonical BLOB)")
    register(opened)
    yield opened
    opened.close()


def canonical(event_id: int, payload: dict[str, Any]) -> bytes:
    return canonical_bytes(
        {
            "event_id": event_id,
            "kind": "other",
            "payload": payload,
            "prev_hash": "0" * 64,
            "source": "vector-kit",
            "timestamp": "2026-05-15T12:00:00Z",
        }
    )


def ids(connection: sqlite3.Connection, text: str) -> list[int]:
    parts = planned(text)
    rows = connection.execute(f"SELECT event_id FROM events WHERE {parts.where} ORDER BY event_id", parts.params)
    return [event_id for (event_id,) in rows]


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        pytest.param('payload.s:"\x00\x07\b\f\n\r\t"*', {"s": "\x00\x07\b\f\n\r\t\x1f"}, id="control characters"),
        pytest.param('payload."\x7f":1', {"\x7f": 1}, id="DEL in a key"),
        pytest.param('payload.del:"a\x7fb"', {"del": "a\x7fb"}, id="DEL in a string"),
        pytest.param("payload.t:*🔐*", {"t": "😀🔐😀"}, id="surrogate pairs"),
        pytest.param('payload.s:"\\"\\\\/"', {"s": '"\\/'}, id="quotes, backslashes and slashes"),
        pytest.param("kelvin", {"s": "\u212aelvin"}, id="a character that folds to an ASCII letter"),
        pytest.param('"\\\\"', {"s": "\\"}, id="a backslash as free text"),
        pytest.param("payload.i:18446744073709551617", {"i": 2**64 + 1}, id="an integer beyond 64 bits"),
        pytest.param("payload.a.b:1", {"a": [[{"b": [2, 1.0]}]]}, id="arrays on the way"),
    ],
)
def test_prefilters_keep_what_the_canonical_form_escapes(
    connection: sqlite3.Connection, text: str, payload: dict[str, Any]
) -> None:
    connection.execute("INSERT INTO events VALUES (1, 0, ?)", (canonical(1, payload),))
    assert ids(connection, text) == [1]
    assert ids(connection, f"-{text}") == []


def test_prefilters_spare_python_the_rows_that_cannot_match(connection: sqlite3.Connection) -> None:
    rows = [(n, 0, canonical(n, {"rule": "dpa-required" if n == 7 else f"rule-{n}"})) for n in range(1, 101)]
    connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
    looked_at = list[bytes]()

    def audit_match(_: str, row: bytes) -> bool:
        looked_at.append(row)
        return True

    connection.create_function("audit_match", 2, audit_match, deterministic=True)
    assert ids(connection, "payload.rule:dpa-required DPA*REQ") == [7]
    assert len(looked_at) == 1


@pytest.mark.parametrize(
    "row", [b"", b"\xff", b"[" * 100_000, b"{}", b'{"kind":1,"source":"a","payload":{}}', "text", 5, None]
)
def test_a_row_that_is_no_event_passes_no_filter_and_hides_no_other(
    connection: sqlite3.Connection, row: object
) -> None:
    connection.execute("INSERT INTO events VALUES (1, 0, ?), (2, 0, ?)", (row, canonical(2, {"x": 1})))
    assert ids(connection, "-payload.x:2") == [2]
    assert ids(connection, "payload.x:1") == [2]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"payload.k{n}:v{n}" for n in range(100)),
        "payload.k:" + ",".join(f"v{n}*w" for n in range(100)),
        " ".join(f"text{n}" for n in range(100)),
        "payload" + "".join(f".k{n}" for n in range(128)) + ":1",
        "-id:" + ",".join(str(2 * n) for n in range(100)),
        " ".join(f"-id:{2 * n}" for n in range(100)),
    ],
)
def test_sqlite_accepts_the_largest_filters(connection: sqlite3.Connection, text: str) -> None:
    assert ids(connection, text) == []
