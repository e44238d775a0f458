"""Durability as a producer sees it: what was acknowledged survives kill -9, a stop, and a second daemon."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.daemon_process import DEADLINE_S, spawn, start_daemon, wait_until_listening
from tests.end_to_end.faults.load import (
    Account,
    assert_nothing_lost,
    fields,
    retry_unanswered,
    under_load,
    wait_until,
    wait_until_ready,
)
from tests.end_to_end.faults.streams import StreamReader

KILLS = 6
SEED = 20_260_515

START_LIMIT_MS = 5_000
"""The daemon promises a second; a machine that is busy with other tests gets five."""

STOP_LIMIT_S = 5.0
"""The daemon promises two seconds from the signal to its exit; a busy machine gets five."""


def test_nothing_acknowledged_is_lost_by_kill_9_under_load_again_and_again(tmp_path: Path) -> None:
    moments = random.Random(SEED)
    account = Account()
    for kill in range(KILLS):
        with start_daemon(tmp_path / "audit.db") as daemon:
            assert daemon.log[-1]["start_ms"] < START_LIMIT_MS
            retry_unanswered(daemon.url, account)
            assert_nothing_lost(daemon.url, account)
            with under_load(daemon.url, account, name=f"run-{kill}", seed=SEED + 100 * kill):
                account.wait_for(account.answers + moments.randint(1, 250))
                daemon.kill()
    with start_daemon(tmp_path / "audit.db") as daemon:
        retry_unanswered(daemon.url, account)
        lines = assert_nothing_lost(daemon.url, account)
    assert len(lines) > 50 * KILLS
    assert account.refusals == []


def test_nothing_acknowledged_is_lost_by_kill_9_during_the_first_start(tmp_path: Path) -> None:
    """The file is being made: whatever state it is left in, the next start goes on from it."""
    path = tmp_path / "audit.db"
    for _ in range(3):
        process = spawn(path)
        deadline = time.monotonic() + DEADLINE_S
        while not path.exists():
            assert time.monotonic() < deadline
        process.kill()
        process.communicate()
    with start_daemon(path) as daemon:
        assert httpx.post(f"{daemon.url}/events", json=fields("first")).status_code == 201
        assert httpx.get(f"{daemon.url}/verify").json()["valid"] is True


@pytest.mark.parametrize("way", ["the same path", "a symbolic link"])
def test_a_second_daemon_on_the_same_file_is_refused_with_a_clear_message(tmp_path: Path, way: str) -> None:
    path = second = tmp_path / "audit.db"
    if way == "a symbolic link":
        (tmp_path / "elsewhere").mkdir()
        second = tmp_path / "elsewhere" / "other.db"
        second.symlink_to(path)
    with start_daemon(path) as daemon:
        refused = spawn(second)
        _, log = refused.communicate(timeout=DEADLINE_S)
        assert refused.returncode == 1
        assert f"another audit-stream daemon (process {daemon.process.pid}) writes to".encode() in log
        assert b"Traceback" not in log
        assert b'"listening"' not in log
        assert httpx.post(f"{daemon.url}/events", json=fields("still alive")).status_code == 201


def test_a_file_is_free_for_the_next_daemon_right_after_kill_9(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon:
        daemon.kill()
        with start_daemon(tmp_path / "audit.db") as successor:
            assert httpx.get(f"{successor.url}/readyz").status_code == 200


class _Posts(threading.Thread):
    """Posts over one kept connection; `in_flight` is held while a request is being written."""

    def __init__(self, port: int, name: str, in_flight: threading.Lock, stopped: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._port = port
        self._in_flight = in_flight
        self._stopped = stopped
        self.answers: list[tuple[int, bytes]] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)) as connection:
            try:
                while True:
                    with self._in_flight:
                        if self._stopped.is_set():
                            return
                        body = json.dumps(fields(f"{self.name}-{len(self.answers)}"))
                        connection.request("POST", "/events", body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    self.answers.append((answer.status, answer.read()))
            except (OSError, http.client.HTTPException) as error:
                self.failure = error


def test_sigterm_answers_every_post_in_flight_ends_40_streams_and_exits_0(tmp_path: Path) -> None:
    process = spawn(tmp_path / "audit.db")
    daemon = wait_until_listening(process)
    in_flight, stopped = threading.Lock(), threading.Event()
    with ExitStack() as cleanup:
        cleanup.callback(process.kill)
        assert httpx.post(f"{daemon.url}/events", json=fields("before")).status_code == 201
        streams = [StreamReader(daemon.port) for _ in range(40)]
        posts = [_Posts(daemon.port, f"poster-{number}", in_flight, stopped) for number in range(12)]
        half_sent = [_send_half_a_post(daemon.port) for _ in range(5)]
        for thread in (*streams, *posts):
            thread.start()
        wait_until(lambda: all(b"id: 1\n" in stream.received for stream in streams))
        wait_until(lambda: all(len(post.answers) >= 10 for post in posts))
        with in_flight:
            stopped.set()
            answered = [json.loads(body)["event_id"] for post in posts for _, body in list(post.answers)]
            process.send_signal(signal.SIGTERM)
            signalled = time.monotonic()
        assert streams[0].ended.wait(DEADLINE_S)  # the stop has begun
        late = [_send_the_rest(connection) for connection in half_sent]
        assert process.wait(DEADLINE_S) == 0
        assert time.monotonic() - signalled < STOP_LIMIT_S
        for thread in (*streams, *posts):
            thread.join(DEADLINE_S)
    assert process.stderr is not None
    process.stderr.close()
    assert [post.failure for post in posts] == [None] * len(posts)
    answers = [answer for post in posts for answer in post.answers] + late
    assert {status for status, _ in answers} <= {201, 503}
    _assert_stored(tmp_path / "audit.db", [body for status, body in answers if status == 201])
    for stream in streams:
        ids = stream.event_ids()
        assert ids == list(range(1, len(ids) + 1))
        assert len(ids) >= max(answered)


def _send_half_a_post(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    body = json.dumps(fields("late")).encode()
    head = b"POST /events HTTP/1.1\r\nHost: daemon\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body[:20])
    return connection


def _send_the_rest(connection: socket.socket) -> tuple[int, bytes]:
    with closing(connection):
        connection.sendall(json.dumps(fields("late")).encode()[20:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def _assert_stored(path: Path, bodies: list[bytes]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        stored = dict(connection.execute("SELECT event_id, canonical FROM events"))
    for body in bodies:
        event = json.loads(body)
        assert stored[event["event_id"]][:-1] == body[: body.rindex(b',"hash":"')]


def test_sigterm_while_nothing_happens_exits_0_and_the_file_needs_no_recovery(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon:
        httpx.post(f"{daemon.url}/events", json=fields("one")).raise_for_status()
        assert daemon.stop() == 0
    wal = tmp_path / "audit.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
    with start_daemon(tmp_path / "audit.db") as daemon:
        assert wait_until_ready(daemon.url)["reasons"] == []
        assert httpx.get(f"{daemon.url}/events/1").json()["payload"]["marker"] == "one"
