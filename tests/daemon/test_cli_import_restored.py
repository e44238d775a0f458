"""`audit-stream import`: a chain of 0.1.0 with numbers and texts that JSON does not know, as 0.1.0 itself serves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit_stream.canonical import hash_of
from audit_stream.restoring import hashed_form
from tests.daemon.command_line import call
from tests.daemon_process import start_daemon

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "unusual_chain.json").read_text(encoding="utf-8"))
HEAD = RECORDED["stats"]["latest_hash"]


def posted(number: int, prev_hash: str, **changes: Any) -> dict[str, Any]:
    """An event as 0.1.0 kept it, of what its producer sent."""
    fields = {**json.loads(RECORDED["bodies"][number - 1]), "event_id": number, "prev_hash": prev_hash, **changes}
    return {**fields, "hash": hash_of(hashed_form(fields))}


def kept() -> list[dict[str, Any]]:
    """The chain as it was in the memory of 0.1.0."""
    chain: list[dict[str, Any]] = []
    for number in range(1, len(RECORDED["bodies"]) + 1):
        chain.append(posted(number, chain[-1]["hash"] if chain else "0" * 64))
    return chain


def served_and_filled() -> str:
    """What `curl -sf 'URL/events/[1-11]'` gives, with what it left out written in by hand."""
    return "".join(
        text if text is not None else json.dumps(event) for text, event in zip(RECORDED["served"], kept(), strict=True)
    )


def test_the_recording_is_the_chain_that_these_tests_build() -> None:
    assert kept()[-1]["hash"] == HEAD
    assert [number for number, text in enumerate(RECORDED["served"], 1) if text is None] == [6, 9]
    assert RECORDED["events_status"] == 500


def test_the_bytes_that_were_hashed_are_restored_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(served_and_filled())
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"))
    assert outcome.code == 0
    assert outcome.out == f"imported 11 events, head #11 {HEAD}\n"
    assert outcome.err.splitlines() == [
        "audit-stream: event 1: restored NaN at payload.rate, which 0.1.0 served as null",
        "audit-stream: event 2: restored -Infinity at payload.low, which 0.1.0 served as null; "
        "Infinity at payload.rate, which 0.1.0 served as null",
        "audit-stream: event 3: restored -Infinity at payload.low, which 0.1.0 served as null; "
        "Infinity at payload.rate, which 0.1.0 served as null",
        "audit-stream: event 7: restored \\udc7f at payload.half \ufffd\ufffd\ufffd of a key, which 0.1.0 served as "
        "U+FFFD; NaN at payload.half \ufffd\ufffd\ufffd of a key[1].n, which 0.1.0 served as null",
        "audit-stream: event 8: restored NaN at payload.nested[0], which 0.1.0 served as null; "
        "NaN at payload.nested[1][0], which 0.1.0 served as null; "
        "Infinity at payload.nested[1][1].a, which 0.1.0 served as null",
    ]


def test_the_whole_move_keeps_every_byte(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(served_and_filled())
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"), "--json")
    assert {"event_id": 1, "path": "payload.rate", "hashed": "NaN", "served": "null"} in json.loads(outcome.out)[
        "restored"
    ]
    assert call("verify", "--db", str(tmp_path / "audit.db")).code == 0
    with start_daemon(tmp_path / "audit.db") as daemon:
        assert httpx.get(f"{daemon.url}/verify").json()["valid"]
        for event in kept():
            canonical = httpx.get(f"{daemon.url}/events/{event['event_id']}/canonical").content
            assert canonical == hashed_form(event)
        added = httpx.post(f"{daemon.url}/events", json={"kind": "other", "source": "new"}).json()
        assert (added["event_id"], added["prev_hash"]) == (12, HEAD)


def test_what_was_moved_can_be_exported_and_imported_again(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text(served_and_filled())
    first, second = str(tmp_path / "first.db"), str(tmp_path / "second.db")
    assert call("import", str(tmp_path / "chain.json"), "--db", first).code == 0
    assert call("export", "--db", first, "--output", str(tmp_path / "again.json")).code == 0
    assert HEAD in call("import", str(tmp_path / "again.json"), "--db", second).out


def test_an_event_that_0_1_0_cannot_serve_is_named_and_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text("".join(text for text in RECORDED["served"] if text is not None))
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1] == (
        "audit-stream: event 6 is not where it should be in the file, where event 7 follows: an export with a filter "
        "is not a whole chain, and some events 0.1.0 cannot serve; docs/commands.md says what to do, under "
        "`audit-stream import`; nothing was imported"
    )
    assert not (tmp_path / "audit.db").exists()


def test_what_cannot_be_restored_is_named_and_not_called_tampering(tmp_path: Path) -> None:
    chain = kept()
    many = {f"n{n:02}": float("inf" if n % 2 else "nan") for n in range(30)}
    chain.append(posted(1, chain[-1]["hash"], event_id=12, payload=many))
    chain.append(posted(11, chain[-1]["hash"], event_id=13))
    chain[11]["payload"] = dict.fromkeys(many)
    chain[12]["payload"] = {"last": False}
    (tmp_path / "chain.json").write_text(json.dumps(chain))
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        "audit-stream: event 12 does not hash to what it says: some of its 30 nulls may be NaN or infinities, "
        "which 0.1.0 serves as null (there are more combinations than are tried), or it was changed, or a tool has "
        "rewritten its numbers on the way",
        "audit-stream: event 13 does not hash to what it says: it was changed, or a tool has rewritten its numbers "
        "on the way",
        "audit-stream: nothing was imported: 2 events cannot be restored; docs/commands.md says what to do, under "
        "`audit-stream import`",
    ]
    assert not (tmp_path / "audit.db").exists()


def test_ten_doubtful_events_are_enough(tmp_path: Path) -> None:
    chain = [posted(11, "0" * 64, event_id=1)]
    for number in range(2, 31):
        chain.append(posted(11, chain[-1]["hash"], event_id=number))
    for event in chain[10:]:
        event["payload"] = {"last": "changed"}
    (tmp_path / "chain.json").write_text(json.dumps(chain))
    lines = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db")).err.splitlines()
    assert [line.split()[2] for line in lines[:-1]] == [str(number) for number in range(11, 21)]
    assert "nothing was imported: 10 events or more cannot be restored" in lines[-1]


def test_many_restored_events_are_summed_up(tmp_path: Path) -> None:
    chain = [posted(1, "0" * 64)]
    for number in range(2, 26):
        chain.append(posted(1, chain[-1]["hash"], event_id=number))
    for event in chain:
        event["payload"] = {"rate": None}
    (tmp_path / "chain.json").write_text(json.dumps(chain))
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"))
    assert outcome.code == 0
    assert len(outcome.err.splitlines()) == 21
    assert outcome.err.endswith("audit-stream: and so in 5 events more; --json lists all\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty: fetch it again, with curl -sf"),
        (" \n\n", "it is empty: fetch it again, with curl -sf"),
        ("Internal Server Error", "it begins with 'Internal Server Error', as an error page does and no export"),
        ("\n<!DOCTYPE html>\n<html>", "it begins with '<!DOCTYPE html>', as an error page does and no export"),
        ("\x1b[2J" + "x" * 5000, r"it begins with '\x1b[2J" + "x" * 190),
        ('{"detail":"limit must be in 1..100000"}', "an error that a daemon answered: limit must be in 1..100000;"),
        (RECORDED["served"][0][:-9], "item 1 is no valid JSON (Unterminated string starting at), or not whole"),
        ("[", "it ends before item 1"),
        (f"[{RECORDED['served'][0]},", "it ends before item 2"),
        (f"[{RECORDED['served'][0]}", "it ends after item 1, before the end of the array"),
    ],
)
def test_a_download_that_failed_is_recognised(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "chain.json").write_text(content)
    outcome = call("import", str(tmp_path / "chain.json"), "--db", str(tmp_path / "audit.db"))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert len(outcome.err) < 400 + len(str(tmp_path))
    assert not (tmp_path / "audit.db").exists()
