"""`audit-stream import`: an old chain in a new database, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit_stream.canonical import canonical_bytes, hash_of
from audit_stream.chain import GENESIS_HASH
from tests.daemon.command_line import call
from tests.daemon_process import start_daemon

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "chain_vectors.json").read_text())["vectors"]

Events = list[dict[str, Any]]


def exported_vectors() -> Events:
    """The export of the 0.1.0 daemon that answered the vectors: what was posted, with its ids and hashes."""
    return [
        {"payload": {}, **json.loads(vector["request_body"])}
        | {name: vector[name] for name in ("event_id", "prev_hash", "hash")}
        for vector in VECTORS
    ]


def chained(*events: dict[str, Any]) -> Events:
    """Link events as 0.1.0 does, whatever they hold."""
    chain: Events = []
    for number, event in enumerate(events, 1):
        fields = {"timestamp": "2026-01-02T03:04:05+00:00", "kind": "other", "source": "test", "payload": {}} | event
        fields |= {"event_id": number, "prev_hash": chain[-1]["hash"] if chain else GENESIS_HASH}
        chain.append({**fields, "hash": hash_of(canonical_bytes(fields))})
    return chain


def write(path: Path, events: Events) -> Path:
    path.write_text(json.dumps(events, ensure_ascii=False))
    return path


def test_a_chain_of_0_1_0_keeps_its_ids_timestamps_and_hashes(tmp_path: Path) -> None:
    events = exported_vectors()
    outcome = call("import", str(write(tmp_path / "chain.json", events)), "--db", str(tmp_path / "audit.db"))
    assert outcome == (0, f"imported {len(events)} events, head #{len(events)} {events[-1]['hash']}\n", "")
    verdict = call("verify", "--db", str(tmp_path / "audit.db"))
    assert (
        verdict.out
        == f"intact: {len(events)} events in {tmp_path}/audit.db, head #{len(events)} {events[-1]['hash']}\n"
    )
    with start_daemon(tmp_path / "audit.db") as daemon:
        assert httpx.get(f"{daemon.url}/events").json() == events
        stats = httpx.get(f"{daemon.url}/stats").json()
        assert (stats["count"], stats["latest_hash"]) == (len(events), events[-1]["hash"])
        added = httpx.post(f"{daemon.url}/events", json={"kind": "other", "source": "new"}).json()
        assert (added["event_id"], added["prev_hash"]) == (len(events) + 1, events[-1]["hash"])
        assert httpx.get(f"{daemon.url}/verify").json()["valid"]


def test_what_todays_rules_would_refuse_is_kept(tmp_path: Path) -> None:
    events = chained(
        {"kind": "No Kind at all", "source": "ünïcode source\n"},
        {"timestamp": "last tuesday"},
        {"timestamp": "2026-01-02 03:04:05"},
        {"timestamp": "2026-01-02T03:04:05"},
        {"kind": "", "source": ""},
        {"payload": {"long": "x" * 70_000, "number": 10**30, "float": 1e-7, "nested": [[[{"a": None}]]]}},
        {"source": '","prev_hash":"' + "0" * 64},
    )
    assert call("import", str(write(tmp_path / "chain.json", events)), "--db", str(tmp_path / "audit.db")).code == 0
    assert call("verify", "--db", str(tmp_path / "audit.db")).code == 0
    assert json.loads(call("export", "--db", str(tmp_path / "audit.db")).out) == events


@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_an_export_of_many_events_can_be_imported(tmp_path: Path, format_: str) -> None:
    kinds = ["request_allowed", "request_denied", "other"]
    events = chained(
        *(
            {
                "kind": kinds[n % 3],
                "source": f"s{n % 7}",
                "timestamp": f"2026-01-02T03:{n % 60:02}:00Z",
                "payload": {"n": n},
            }
            for n in range(5_000)
        )
    )
    first, second = str(tmp_path / "first.db"), str(tmp_path / "second.db")
    assert call("import", str(write(tmp_path / "old.json", events)), "--db", first).code == 0
    assert call("export", "--db", first, "--output", str(tmp_path / "new"), "--format", format_).code == 0
    outcome = call("import", str(tmp_path / "new"), "--db", second, "--json")
    assert json.loads(outcome.out)["head"] == {"event_id": 5_000, "hash": events[-1]["hash"]}
    assert call("verify", "--db", second).code == 0
    with start_daemon(tmp_path / "second.db") as daemon:
        found = httpx.get(
            f"{daemon.url}/events", params={"q": "source:s3 kind:other until:2026-01-02T03:01:00Z"}
        ).json()
    assert [event["event_id"] for event in found] == [
        event["event_id"]
        for event in events
        if (event["source"], event["kind"]) == ("s3", "other") and event["timestamp"] <= "2026-01-02T03:01:00Z"
    ]


def test_an_empty_export_makes_an_empty_database(tmp_path: Path) -> None:
    assert call("import", str(write(tmp_path / "chain.json", [])), "--db", str(tmp_path / "audit.db")).code == 0
    assert (
        call("verify", "--db", str(tmp_path / "audit.db")).out == f"intact: the log in {tmp_path}/audit.db is empty\n"
    )


def _change_payload(events: Events) -> None:
    events[3]["payload"] = {"changed": True}


def _change_hash(events: Events) -> None:
    events[3]["hash"] = "0" * 64


def _remove(events: Events) -> None:
    del events[3]


def _swap(events: Events) -> None:
    events[3], events[4] = events[4], events[3]


def _repeat(events: Events) -> None:
    events.insert(3, events[3])


def _relink(events: Events) -> None:
    events[3]["prev_hash"] = "f" * 64


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (_change_payload, "event 4 does not hash to what it says: it was changed, or"),
        (_change_hash, "event 4 does not hash to what it says: it was changed, or"),
        (_remove, "event 4 is not where it should be in the file, where event 5 follows: an export with a filter"),
        (_swap, "event 4 is not where it should be in the file, where event 5 follows: an export with a filter"),
        (_repeat, "BROKEN at #5: event_id should be 5, got 4; nothing was imported"),
        (_relink, "BROKEN at #4: prev_hash mismatch at event #4; nothing was imported"),
    ],
)
def test_a_broken_chain_is_refused_before_anything_is_written(
    tmp_path: Path, tamper: Callable[[Events], None], reason: str
) -> None:
    events = exported_vectors()
    tamper(events)
    outcome = call("import", str(write(tmp_path / "chain.json", events)), "--db", str(tmp_path / "audit.db"))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"audit-stream: {reason}")
    assert "nothing was imported" in outcome.err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["chain.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'"text"', "as an error page does and no export"),
        (b"[1]", "item 1 is no JSON object"),
        (b'[{"event_id":1}]', "item 1 is no event"),
        (b'{"event_id":1', "item 1 is no valid JSON"),
        (b"[" + b'{"a":' * 100_000, "item 1 cannot be read"),
        (b"[{}", "item 1 is no event"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[] x", "something follows"),
        (b'[{"a":NaN}]', "item 1 is no event"),
        (json.dumps(chained({}, {})).replace("}, {", "} {").encode(), "no comma or end of the array after item 1"),
        (json.dumps(chained({})).encode()[:-1], "it ends after item 1, before the end of the array"),
        (json.dumps(chained({})).replace('"test"', r'"\ud800"').encode(), "half a character"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "chain.json").write_bytes(content)
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert not (tmp_path / "audit.db").exists()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    outcome = call("import", str(tmp_path / "none.json"), "--db", str(tmp_path / "audit.db"))
    assert outcome == (2, "", f"audit-stream: {tmp_path}/none.json: No such file or directory\n")


def test_a_database_with_events_is_never_written_to(tmp_path: Path) -> None:
    export = str(write(tmp_path / "chain.json", exported_vectors()))
    assert call("import", export, "--db", str(tmp_path / "audit.db")).code == 0
    outcome = call("import", export, "--db", str(tmp_path / "audit.db"))
    assert outcome.code == 2
    assert f"holds {len(VECTORS)} events already" in outcome.err


def test_a_database_that_a_daemon_holds_is_refused(tmp_path: Path) -> None:
    export = str(write(tmp_path / "chain.json", exported_vectors()))
    with start_daemon(tmp_path / "audit.db") as daemon:
        outcome = call("import", export, "--db", str(tmp_path / "audit.db"))
        assert httpx.get(f"{daemon.url}/stats").json()["count"] == 0
        assert outcome == (
            2,
            "",
            f"audit-stream: a daemon (process {daemon.process.pid}) is running on {tmp_path}/audit.db: "
            "stop it first, or import into another file with --db\n",
        )
