"""Batches: an array or lines, all or nothing, one commit. And keys that make a retry harmless, for both routes."""

from __future__ import annotations

import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from audit_daemon.http.ingest import Decoding
from audit_stream.canonical import canonical_bytes
from audit_stream.event import EventReader

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "other", "source": "batcher", "payload": {"number": number}, **more}


def lines(*events: dict[str, Any], end: str = "\n") -> bytes:
    return end.join(json.dumps(each) for each in events).encode()


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def head(client: httpx.Client) -> int:
    head_id: int = client.get("/stats").json()["last_event_id"]
    return head_id


def after(client: httpx.Client, event_id: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = client.get("/events", params={"since_id": event_id, "limit": 100_000}).json()
    return events


def test_the_receipt_of_an_array_names_the_stored_events(client: httpx.Client) -> None:
    before = head(client)
    answer = client.post("/events/batch", json=[event(1), event(2), event(3)])
    stored = after(client, before)
    assert answer.status_code == 201
    assert answer.json() == {
        "count": 3,
        "first_event_id": before + 1,
        "last_event_id": before + 3,
        "latest_hash": stored[-1]["hash"],
    }
    assert [each["payload"] for each in stored] == [{"number": 1}, {"number": 2}, {"number": 3}]


def test_the_events_of_a_batch_are_linked_to_each_other_and_to_what_was_before(client: httpx.Client) -> None:
    first = client.post("/events", json=event(0)).json()
    client.post("/events/batch", json=[event(1), event(2)])
    second, third = after(client, first["event_id"])
    assert (second["prev_hash"], third["prev_hash"]) == (first["hash"], second["hash"])
    assert client.get("/verify").json()["valid"] is True


def test_a_batch_of_one_is_a_batch(client: httpx.Client) -> None:
    receipt = client.post("/events/batch", json=[event(1)]).json()
    assert receipt["count"] == 1
    assert receipt["first_event_id"] == receipt["last_event_id"]


@pytest.mark.parametrize(
    "body",
    [
        lines(event(1), event(2)),
        lines(event(1), event(2)) + b"\n",
        lines(event(1), event(2), end="\r\n"),
        lines(event(1), event(2), end="\r\n") + b"\r\n",
        b"\n\r\n \n" + lines(event(1), event(2), end="\n\n\t\n") + b"\n\n",
    ],
    ids=["no final newline", "final newline", "CRLF", "final CRLF", "blank lines"],
)
@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/ndjson", "application/jsonl"])
def test_lines_are_read(client: httpx.Client, content_type: str, body: bytes) -> None:
    before = head(client)
    answer = client.post("/events/batch", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["count"]) == (201, 2)
    assert [each["payload"]["number"] for each in after(client, before)] == [1, 2]


def test_10000_events_are_stored_in_order(client: httpx.Client) -> None:
    before = head(client)
    answer = client.post("/events/batch", json=[event(number) for number in range(10_000)])
    assert (answer.status_code, answer.json()["count"]) == (201, 10_000)
    assert [each["payload"]["number"] for each in after(client, before)] == list(range(10_000))


def test_10000_lines_are_stored_in_order(client: httpx.Client) -> None:
    before = head(client)
    answer = client.post("/events/batch", content=lines(*(event(number) for number in range(10_000))), headers=NDJSON)
    assert (answer.status_code, answer.json()["count"]) == (201, 10_000)
    assert [each["payload"]["number"] for each in after(client, before)] == list(range(10_000))


def test_events_of_a_batch_keep_their_own_timestamps_and_sources(client: httpx.Client) -> None:
    before = head(client)
    instants = ["2026-05-15T03:14:15+00:00", "2025-01-01T00:00:00.5Z"]
    client.post("/events/batch", json=[event(1, timestamp=instants[0]), event(2, timestamp=instants[1], source="b")])
    assert [(each["timestamp"], each["source"]) for each in after(client, before)] == [
        (instants[0], "batcher"),
        (instants[1], "b"),
    ]


def test_concurrent_batches_are_not_interleaved(client: httpx.Client) -> None:
    before = head(client)

    def post(producer: int) -> httpx.Response:
        batch = [event(number, source=f"producer-{producer}") for number in range(200)]
        return client.post("/events/batch", json=batch)

    with ThreadPoolExecutor(8) as producers:
        receipts = [answer.json() for answer in producers.map(post, range(16))]
    events = after(client, before)
    for producer, receipt in enumerate(receipts):
        own = events[receipt["first_event_id"] - before - 1 : receipt["last_event_id"] - before]
        assert {each["source"] for each in own} == {f"producer-{producer}"}
        assert own[-1]["hash"] == receipt["latest_hash"]


def test_a_retry_with_the_same_key_gets_the_first_answer_again(client: httpx.Client) -> None:
    key = new_key()
    first = client.post("/events", json=event(1), headers=key)
    again = client.post("/events", json=event(1), headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert head(client) == first.json()["event_id"]


def test_a_retry_counts_as_the_same_however_it_is_spelt(client: httpx.Client) -> None:
    key = new_key() | JSON
    first = client.post(
        "/events", content=b'{"kind":"other","source":"s","payload":{"a":1,"b":"\xc3\xa9"}}', headers=key
    )
    again = client.post(
        "/events",
        content=b'\n{ "payload": {"b": "\\u00e9", "a": 1},\t"source": "s", "kind": "other" }\n',
        headers=key,
    )
    assert (again.status_code, again.content) == (200, first.content)


@pytest.mark.parametrize(
    "changed",
    [
        {"payload": {"number": 2}},
        {"payload": {"number": 1.0}},
        {"payload": {"number": True}},
        {"kind": "request_denied"},
        {"timestamp": "2026-05-15T03:14:15Z"},
    ],
    ids=["payload", "float", "bool", "kind", "timestamp"],
)
def test_the_same_key_with_another_body_is_refused(client: httpx.Client, changed: dict[str, Any]) -> None:
    key = new_key()
    client.post("/events", json=event(1), headers=key).raise_for_status()
    before = head(client)
    answer = client.post("/events", json=event(1) | changed, headers=key)
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]
    assert head(client) == before


def test_the_same_key_of_another_source_is_another_key(client: httpx.Client) -> None:
    key = new_key()
    first = client.post("/events", json=event(1, source="a"), headers=key)
    second = client.post("/events", json=event(1, source="b"), headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["event_id"] == first.json()["event_id"] + 1


def test_a_refused_event_does_not_use_up_its_key(client: httpx.Client) -> None:
    key = new_key()
    assert client.post("/events", json=event(1, kind="nope"), headers=key).status_code == 422
    assert client.post("/events", json=event(1), headers=key).status_code == 201


def test_without_a_key_equal_events_are_different_events(client: httpx.Client) -> None:
    first, second = (client.post("/events", json=event(1)).json() for _ in range(2))
    assert second["event_id"] == first["event_id"] + 1


def test_duplicates_that_come_at_once_make_one_event(client: httpx.Client) -> None:
    before = head(client)
    key = new_key()

    def post(_: int) -> httpx.Response:
        return client.post("/events", json=event(1), headers=key)

    with ThreadPoolExecutor(20) as producers:
        answers = list(producers.map(post, range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert head(client) == before + 1


def test_different_bodies_that_come_at_once_with_one_key_make_one_event(client: httpx.Client) -> None:
    before = head(client)
    key = new_key()

    def post(number: int) -> int:
        return client.post("/events", json=event(number), headers=key).status_code

    with ThreadPoolExecutor(20) as producers:
        statuses = sorted(producers.map(post, range(40)))
    assert statuses == [201] + [422] * 39
    assert head(client) == before + 1


def test_a_batch_is_replayed_as_a_whole(client: httpx.Client) -> None:
    key = new_key()
    first = client.post("/events/batch", json=[event(1), event(2)], headers=key)
    again = client.post("/events/batch", json=[event(1), event(2)], headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert head(client) == first.json()["last_event_id"]


def test_a_batch_is_replayed_after_others_have_appended(client: httpx.Client) -> None:
    key = new_key()
    first = client.post("/events/batch", content=lines(event(1), event(2)), headers=NDJSON | key)
    client.post("/events/batch", json=[event(number) for number in range(50)])
    again = client.post("/events/batch", content=lines(event(1), event(2)), headers=NDJSON | key)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_batch_of_lines_is_the_same_as_its_array(client: httpx.Client) -> None:
    key = new_key()
    first = client.post("/events/batch", content=lines(event(1), event(2), end="\r\n"), headers=NDJSON | key)
    again = client.post("/events/batch", json=[event(1), event(2)], headers=key)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_batch_with_the_key_of_another_batch_is_refused(client: httpx.Client) -> None:
    key = new_key()
    client.post("/events/batch", json=[event(1), event(2)], headers=key).raise_for_status()
    before = head(client)
    for other in ([event(1)], [event(2), event(1)], [event(1), event(2), event(3)]):
        assert client.post("/events/batch", json=other, headers=key).status_code == 422
    assert head(client) == before


def test_an_event_and_a_batch_do_not_share_a_key(client: httpx.Client) -> None:
    key = new_key()
    client.post("/events/batch", json=[event(1)], headers=key).raise_for_status()
    assert client.post("/events", json=event(1), headers=key).status_code == 422
    key = new_key()
    client.post("/events", json=event(1), headers=key).raise_for_status()
    assert client.post("/events/batch", json=[event(1)], headers=key).status_code == 422


def test_the_digest_of_a_large_batch_is_that_of_the_whole() -> None:
    events = [event(number, payload={"text": "é" * 200}) for number in range(3_000)]
    steps = EventReader().array_steps(json.dumps(events).encode(), max_events=10_000)
    decoding = Decoding(steps, keyed=True)
    while decoding.step():
        pass
    key = decoding.idempotency_key(b"k")
    assert key is not None
    assert key.digest == hashlib.sha256(canonical_bytes({"body": events})).digest()


def test_a_large_batch_is_replayed_however_it_is_spelt(client: httpx.Client) -> None:
    key = new_key()
    events = [event(number, payload={"text": "x" * 200}) for number in range(3_000)]
    first = client.post("/events/batch", content=json.dumps(events, indent=1), headers=JSON | key)
    again = client.post("/events/batch", content=lines(*events), headers=NDJSON | key)
    other = client.post("/events/batch", content=lines(*events, event(1)), headers=NDJSON | key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert again.content == first.content
