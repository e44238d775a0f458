"""The main job from end to end: post, store, stream, verify."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from httpx_sse import connect_sse

from tests.daemon_process import start_daemon


def test_a_posted_event_is_stored_streamed_and_verified(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, httpx.Client(base_url=daemon.url) as client:
        with connect_sse(client, "GET", "/stream") as stream:
            event = {"kind": "request_denied", "source": "policy-as-code-engine", "payload": {"rule": "dpa-required"}}
            answer = client.post("/events", json=event)
            message = next(iter(stream.iter_sse()))
        assert answer.status_code == 201
        assert (message.event, message.id, json.loads(message.data)) == ("request_denied", "1", answer.json())
        assert client.get("/events").json() == [answer.json()]
        assert client.get("/verify").json()["valid"] is True
    with start_daemon(tmp_path / "audit.db") as daemon:
        assert httpx.get(f"{daemon.url}/events/1").json() == answer.json()
