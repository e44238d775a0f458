"""A disk that hangs, and another program that holds the database: producers are told, and a stop is a stop."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.daemon_process import DEADLINE_S, DaemonProcess, start_daemon
from tests.end_to_end.faults.load import fields, wait_until, wait_until_ready
from tests.end_to_end.test_disk import FailingDisk, disk, library, linux_only

__all__ = ["disk", "library"]

pytestmark = pytest.mark.chaos

STOP_LIMIT_S = 10.0


_CLIENT = httpx.Client(timeout=DEADLINE_S, limits=httpx.Limits(max_keepalive_connections=0))  # made once: that is slow


def _post(daemon: DaemonProcess, number: int) -> httpx.Response:
    headers = {"Idempotency-Key": f"post-{number}"}
    return _CLIENT.post(f"{daemon.url}/events", json=fields(f"post-{number}"), headers=headers)


def _assert_unknown(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "it is not known whether the event was stored: send it again with the same Idempotency-Key" in answer.text


@linux_only
@pytest.mark.parametrize("works", ["after the stop has begun", "never"])
def test_a_stop_while_the_disk_hangs_tells_every_producer_that_the_outcome_is_not_known(
    tmp_path: Path, disk: FailingDisk, works: str
) -> None:
    path = tmp_path / "audit.db"
    with start_daemon(path, env=disk.env) as daemon, ThreadPoolExecutor(12) as producers:
        assert _post(daemon, 99).status_code == 201
        disk.stick("sync .db-wal")
        posts: list[Future[httpx.Response]] = [producers.submit(_post, daemon, number) for number in range(12)]
        wait_until(lambda: disk.strikes() > 0)
        wait_until(lambda: _queued(daemon) == 12)
        daemon.process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        for post in posts:
            _assert_unknown(post.result(DEADLINE_S))
        if works != "never":
            disk.work()
        code = daemon.process.wait(DEADLINE_S)
        assert time.monotonic() - signalled < STOP_LIMIT_S
        assert code == (1 if works == "never" else 0)
    if works == "never":
        disk.work()
    with start_daemon(path) as daemon:
        retries = [_post(daemon, number) for number in (*range(12), 99)]
        assert all(retry.status_code in (200, 201) for retry in retries)
        assert len({retry.json()["event_id"] for retry in retries}) == 13
        verdict = _CLIENT.get(f"{daemon.url}/verify").json()
        assert (verdict["valid"], verdict["checked"]) == (True, 13)


def _queued(daemon: DaemonProcess) -> int:
    queued: int = _CLIENT.get(f"{daemon.url}/stats").json()["write_queue"]["events"]
    return queued


def test_another_program_that_holds_the_write_lock_is_named_and_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with start_daemon(path) as daemon, closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert _post(daemon, 0).status_code == 201
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(12) as producers:
            answers = list(producers.map(lambda number: _post(daemon, number), range(1, 13)))
        for answer in answers:
            assert answer.status_code == 503
            assert "another program holds the database's write lock" in answer.json()["detail"]
        assert "write lock" in wait_until_ready(daemon.url, status=503)["reasons"][0]
        assert _CLIENT.get(f"{daemon.url}/events/1").status_code == 200
        other.execute("ROLLBACK")
        assert wait_until_ready(daemon.url)["reasons"] == []
        assert _post(daemon, 1).status_code == 201
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=_post, args=(daemon, 2))
        waiting.start()
        wait_until(lambda: _queued(daemon) > 0)
        signalled = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - signalled < STOP_LIMIT_S
        waiting.join(DEADLINE_S)
