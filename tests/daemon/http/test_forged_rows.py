"""Whatever somebody has put into the file, every answer is JSON, every message is one message, and no status is 500."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit_stream.canonical import hash_of
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.verification import verify_file
from tests.daemon.verifier.logs import make
from tests.daemon.verifier.test_canonical_form import CANONICAL, NOT_CANONICAL
from tests.daemon_process import DEADLINE_S, start_daemon

COUNT = 230  # more than are read on the loop's thread
AT = 150

SEVEN = {"event_id", "kind", "payload", "prev_hash", "source", "timestamp", "hash"}

VALUES: list[Any] = [
    *(
        None,
        -1,
        5,
        2**63 - 1,
        1.5,
        "",
        "x",
        "0" * 64,
        'a"b',
        "a\\",
        "a\nb\n\ndata: forged\n\n",
        "\r",
        "\x00",
        "é",
        "a'b",
    ),
    *(b"", b"\xff", b"{}", b"[]", b'"', b'{"a":1}', b"\n\ndata: {}\n\n", b"\x00", b"{" * 3_000),
    '","event_id":7,"hash":"' + "0" * 64,
    *(form.replace(b"ID", b"%d" % AT).replace(b"PREV", b"0" * 64) for form in (CANONICAL | NOT_CANONICAL).values()),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, sqlite3.Connection]]:
    """A daemon that runs while somebody takes the types from its tables."""
    path: Path = tmp_path_factory.mktemp("forged") / "audit.db"
    make(path, COUNT)
    with (
        start_daemon(path) as daemon,
        httpx.Client(base_url=daemon.url, timeout=DEADLINE_S) as client,
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT', ')'), ' NOT NULL', '')")
        connection.execute(f"PRAGMA schema_version = {connection.execute('PRAGMA schema_version').fetchone()[0] + 1}")
        connection.execute("PRAGMA writable_schema = RESET")
        yield client, connection


def messages(client: httpx.Client, path: str) -> list[dict[str, str]]:
    """The messages of a stream up to the log's last event, as a browser would take them apart."""
    text = b""
    last = b"id: %d\n" % COUNT
    with client.stream("GET", path, params={"since_id": 0}) as response:
        assert response.status_code == 200
        for chunk in response.iter_raw():
            text += chunk
            if last in text and text.endswith(b"\n\n"):
                break
    blocks = text.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    found = []
    for block in blocks:
        fields = [line.partition(": ") for line in block.split("\n") if line and not line.startswith(":")]
        if any(name == "data" for name, _, _ in fields):
            assert len({name for name, _, _ in fields}) == len(fields)
            found.append({name: value for name, _, value in fields})
    return found


def verify(connection: sqlite3.Connection) -> None:
    """What the daemon's verifying process does, which takes longer to start than all else here together."""
    (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
    with suppress(StoreError):
        verify_file(Path(path))


def look(client: httpx.Client) -> None:
    """Every read answers, and what it answers can be read."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path, params in (
        ("/events", {"limit": "100"}),
        ("/events", {"limit": "1000"}),
        ("/events", {"limit": "1000", "order": "desc", "kind": "other"}),
        ("/events", {"limit": "1000", "q": "payload.n:>3 -hallo"}),
        ("/events", {"limit": "1000", "since": "2026-01-01T00:00:00Z"}),
        (f"/events/{AT}", {}),
        ("/stats", {}),
    ):
        answer = client.get(path, params=params)
        assert answer.status_code in (200, 503), (path, params, answer.text)
        decoded = json.loads(answer.content, parse_constant=refuse)
        for event in decoded if isinstance(decoded, list) else []:
            assert set(event) >= SEVEN
    lines = client.get("/events", params={"limit": 1000}, headers={"Accept": "application/x-ndjson"})
    assert lines.status_code == 200
    assert len([json.loads(line, parse_constant=refuse) for line in lines.content.split(b"\n")[:-1]]) == COUNT
    canonical = client.get(f"/events/{AT}/canonical")
    assert canonical.status_code == 200
    if canonical.headers["content-type"] == "application/json":
        json.loads(canonical.content, parse_constant=refuse)
    assert client.get("/metrics").status_code == 200
    for path in ("/stream", "/events/stream"):
        found = messages(client, path)
        assert [int(message["id"]) for message in found] == list(range(1, COUNT + 1))
        for message in found:
            assert set(json.loads(message["data"], parse_constant=refuse)) >= SEVEN


@pytest.mark.parametrize("column", ["canonical", "hash", "series_id", "series_seq", "time_ms"])
def test_any_value_in_any_column_of_an_event(served: tuple[httpx.Client, sqlite3.Connection], column: str) -> None:
    client, connection = served
    (before,) = connection.execute(f"SELECT {column} FROM events WHERE event_id = ?", (AT,)).fetchone()
    try:
        for value in VALUES:
            connection.execute(f"UPDATE events SET {column} = ? WHERE event_id = ?", (value, AT))
            verify(connection)
            answer = client.get(f"/events/{AT}")
            assert answer.status_code == 200
            assert set(answer.json()) >= SEVEN
            answer = client.get("/events", params={"limit": 100})
            assert len(answer.json()) == 100
        for value in VALUES[::7]:
            connection.execute(f"UPDATE events SET {column} = ? WHERE event_id = ?", (value, AT))
            look(client)
        assert client.get("/verify").status_code in (200, 503)
    finally:
        connection.execute(f"UPDATE events SET {column} = ? WHERE event_id = ?", (before, AT))


@pytest.mark.parametrize("column", ["kind", "source"])
def test_any_value_in_any_column_of_a_series(served: tuple[httpx.Client, sqlite3.Connection], column: str) -> None:
    client, connection = served
    (before,) = connection.execute(f"SELECT {column} FROM series WHERE series_id = 1").fetchone()
    try:
        for value in VALUES[:24:3]:
            connection.execute(f"UPDATE series SET {column} = ? WHERE series_id = 1", (value,))
            verify(connection)
            look(client)
        assert client.get("/verify").status_code in (200, 503)
    finally:
        connection.execute(f"UPDATE series SET {column} = ? WHERE series_id = 1", (before,))


def test_an_object_in_place_of_bytes_that_are_no_event_says_so_and_holds_for_nobody(
    served: tuple[httpx.Client, sqlite3.Connection],
) -> None:
    client, connection = served
    (before,) = connection.execute("SELECT canonical FROM events WHERE event_id = ?", (AT,)).fetchone()
    try:
        connection.execute("UPDATE events SET canonical = ? WHERE event_id = ?", (b"\n\ndata: {}\n\n", AT))
        event = client.get(f"/events/{AT}").json()
        assert event["event_id"] == AT
        assert event["payload"]["not_an_event"].startswith("the 12 bytes that are stored here are no event")
        assert event["hash"] == "0" * 64 != hash_of(b"")
        page = client.get("/events", params={"since_id": AT - 1, "limit": 1}).json()
        assert page == [event]
        canonical = client.get(f"/events/{AT}/canonical")
        assert (canonical.content, canonical.headers["content-type"]) == (
            b"\n\ndata: {}\n\n",
            "application/octet-stream",
        )
    finally:
        connection.execute("UPDATE events SET canonical = ? WHERE event_id = ?", (before, AT))


def test_numbers_that_are_none_are_null_as_0_1_0_served_them(
    served: tuple[httpx.Client, sqlite3.Connection],
) -> None:
    client, connection = served
    (before,) = connection.execute("SELECT canonical FROM events WHERE event_id = ?", (AT,)).fetchone()
    form = CANONICAL["NaN and infinities, as 0.1.0 hashed them"].replace(b"ID", b"%d" % AT)
    try:
        connection.execute("UPDATE events SET canonical = ? WHERE event_id = ?", (form, AT))
        (event,) = client.get("/events", params={"since_id": AT - 1, "limit": 1}).json()
        assert event["payload"] == {"a": [None, None, None]}
        canonical = client.get(f"/events/{AT}/canonical")
        assert (canonical.content, canonical.headers["content-type"]) == (form, "application/octet-stream")
    finally:
        connection.execute("UPDATE events SET canonical = ? WHERE event_id = ?", (before, AT))
