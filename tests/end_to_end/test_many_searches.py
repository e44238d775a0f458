"""Searches by the dozen over a heavy log, in a real daemon: nobody else waits for them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.daemon.http.sse import following
from tests.daemon.http.wire import request
from tests.daemon.store.rig import event, in_store
from tests.daemon_process import DaemonProcess, start_daemon

pytestmark = pytest.mark.chaos

TEXT = "the quick brown fox jumps over the lazy dog " * 360  # 16 KB
COUNT = 12_000
SEARCH = "/events?q=-nowhere+xyzzy"  # found nowhere, and without a cheap test: each event is decoded


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon over 200 MB."""
    path = tmp_path_factory.mktemp("heavy") / "audit.db"

    async def fill(store: object, _: object) -> None:
        for first in range(0, COUNT, 400):
            await store.append([event(payload={"text": TEXT + "É", "n": first + n}) for n in range(400)])  # type: ignore[attr-defined]

    in_store(path, fill)
    with start_daemon(path) as daemon:
        yield daemon
    path.unlink()


def ask(daemon: DaemonProcess, target: str) -> socket.socket:
    """Send a request and leave its answer."""
    connection = socket.create_connection(("127.0.0.1", daemon.port))
    connection.sendall(request("GET", target))
    return connection


def test_pages_and_appends_do_not_wait_for_twelve_searches(heavy: DaemonProcess) -> None:
    searches = [ask(heavy, f"{SEARCH}{number}") for number in range(12)]
    with httpx.Client(base_url=heavy.url, timeout=20) as client:
        took_s = []
        for _ in range(20):
            began = time.monotonic()
            assert len(client.get("/events", params={"limit": 500}).json()) == 500
            assert client.post("/events", json={"kind": "other", "source": "s"}).status_code == 201
            took_s.append(time.monotonic() - began)
        assert sorted(took_s)[10] < 2.0  # 123 s once
        began = time.monotonic()
        found = client.get("/events", params={"q": "fox", "limit": 5}).json()
        assert len(found) == 5
        assert time.monotonic() - began < 15  # a turn of each, not the end of each
    for connection in searches:
        connection.close()


def test_more_searches_than_can_be_answered_are_told_to_come_back(heavy: DaemonProcess) -> None:
    searches = [ask(heavy, f"{SEARCH}{number}") for number in range(64)]
    with httpx.Client(base_url=heavy.url, timeout=60) as client:
        for number in range(20):
            answer = client.get(f"{SEARCH}-{number}")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "under way" in answer.json()["detail"]
        assert len(client.get("/events", params={"kind": "other", "limit": 500}).json()) == 500
    for connection in searches:
        connection.close()


def test_a_filtered_stream_over_a_heavy_log_moves_on_beside_searches(heavy: DaemonProcess) -> None:
    searches = [ask(heavy, f"{SEARCH}{number}") for number in range(12)]
    with following(heavy.port, "/stream?since_id=0&q=-nowhere+xyzzy") as follower:
        places: list[int] = []
        while len(places) < 3:
            comment = follower.read_comment()
            if comment.startswith("at event "):
                places.append(int(comment.removeprefix("at event ")))
        assert places == sorted(set(places))
    for connection in searches:
        connection.close()
    with httpx.Client(base_url=heavy.url, timeout=20) as client:
        assert json.loads(client.get("/healthz").content) == {"status": "ok"}


def test_a_stop_does_not_wait_for_searches(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"

    async def fill(store: object, _: object) -> None:
        await store.append([event(payload={"text": TEXT + "É", "n": n}) for n in range(400)])  # type: ignore[attr-defined]

    in_store(path, fill)
    with start_daemon(path) as daemon:
        connections = [ask(daemon, f"{SEARCH}{number}") for number in range(60)]
        connections += [ask(daemon, f"/stream?since_id=0&q=-nowhere+xyzzy{number}") for number in range(60)]
        connections += [ask(daemon, "/metrics") for _ in range(31)]
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
        for connection in connections:
            connection.close()
