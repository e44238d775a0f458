"""The budget of what is under way: what is beyond it is refused before it is read, and stalled peers give way."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.daemon.http.wire import connected, read_answer, request
from tests.daemon_process import DaemonProcess, start_daemon

LIMIT = 32 << 20
BATCH = 16 << 20
JSON = {"Content-Type": "application/json"}
ONE = json.dumps({"kind": "other", "source": "single", "payload": {"text": "x" * 500}}).encode()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with the smallest budget: room for one largest batch beside what is left to single events."""
    with start_daemon(tmp_path_factory.mktemp("budget") / "audit.db", "--buffer-bytes", str(LIMIT)) as running:
        yield running


def in_use(daemon: DaemonProcess) -> int:
    page = httpx.get(f"{daemon.url}/metrics").text
    found = re.search(r"^audit_stream_buffer_bytes (\S+)$", page, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def wait_for_use(daemon: DaemonProcess, used: int) -> None:
    while in_use(daemon) != used:
        pass


def batch_head(length: int = BATCH) -> bytes:
    return request("POST", "/events/batch", JSON | {"Content-Length": str(length)})


@contextlib.contextmanager
def under_way(daemon: DaemonProcess, length: int = BATCH) -> Iterator[socket.socket]:
    """A batch that has its place and, all but a byte of it sent, would be whole in time."""
    before = in_use(daemon)
    with connected(daemon.port) as connection:
        connection.sendall(batch_head(length) + b" " * (length - 1))
        wait_for_use(daemon, before + length)
        yield connection
    wait_for_use(daemon, before)


def test_a_batch_beyond_the_budget_is_refused_before_it_is_read(small: DaemonProcess) -> None:
    with under_way(small), connected(small.port) as second:
        second.sendall(batch_head())
        answer = read_answer(second)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "application/problem+json"
        assert second.recv(1) == b""


def test_single_events_are_taken_while_batches_fill_the_budget(small: DaemonProcess) -> None:
    with under_way(small), under_way(small, LIMIT - BATCH - LIMIT // 8):
        assert httpx.post(f"{small.url}/events", content=ONE, headers=JSON).status_code == 201
        large = ONE + b" " * 500_000
        assert httpx.post(f"{small.url}/events", content=large, headers=JSON).status_code == 201


def test_a_batch_gets_in_when_the_one_before_it_is_gone(small: DaemonProcess) -> None:
    with under_way(small):
        pass
    with under_way(small):
        pass


def test_a_batch_of_unknown_length_is_counted_as_it_grows(small: DaemonProcess) -> None:
    before = in_use(small)
    with connected(small.port) as connection:
        connection.sendall(request("POST", "/events/batch", JSON | {"Transfer-Encoding": "chunked"}))
        piece = b"[" + b" " * 99_999
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        wait_for_use(small, before + len(piece))
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), b" " * len(piece)))
        wait_for_use(small, before + 2 * len(piece))
    wait_for_use(small, before)


def test_a_batch_of_unknown_length_is_refused_when_there_is_no_more_room(small: DaemonProcess) -> None:
    with under_way(small), under_way(small, LIMIT - BATCH - LIMIT // 8 - 200_000), connected(small.port) as third:
        third.sendall(request("POST", "/events/batch", JSON | {"Transfer-Encoding": "chunked"}))
        piece = b" " * 100_000
        with contextlib.suppress(ConnectionError):
            for _ in range(10):
                third.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert read_answer(third).status == 503


def test_a_stalled_small_body_is_counted_too(small: DaemonProcess) -> None:
    before = in_use(small)
    with connected(small.port) as connection:
        connection.sendall(request("POST", "/events", JSON | {"Content-Length": "60000"}) + b"{")
        wait_for_use(small, before + 60_000)
    wait_for_use(small, before)


def test_a_stalled_upload_gives_way_to_another(small: DaemonProcess) -> None:
    """Its pace would not get it whole by its deadline, which can be told after a second."""
    with connected(small.port) as stalled:
        stalled.sendall(batch_head())
        wait_for_use(small, BATCH)
        while True:
            with connected(small.port) as other:
                other.sendall(batch_head())
                other.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if not in_use(small) or other.recv(12).endswith(b"503"):
                        continue
                break
        answer = read_answer(stalled)
    assert answer.status == 503
    assert "too slowly" in answer.json()["detail"]
    wait_for_use(small, 0)


def test_an_answered_batch_gives_its_room_back(small: DaemonProcess) -> None:
    event = {"kind": "other", "source": "batcher", "payload": {"text": "x" * 2000}}
    batch = json.dumps([event] * 2_000)
    assert httpx.post(f"{small.url}/events/batch", content=batch, headers=JSON, timeout=20).status_code == 201
    assert httpx.post(f"{small.url}/events/batch", content=batch[:-1], headers=JSON, timeout=20).status_code == 422
    wait_for_use(small, 0)


def test_what_a_reader_does_not_take_is_counted_until_it_goes(small: DaemonProcess) -> None:
    event = {"kind": "other", "source": "batcher", "payload": {"text": "x" * 60_000}}
    for _ in range(4):
        assert httpx.post(f"{small.url}/events/batch", json=[event] * 100, timeout=20).status_code == 201
    with connected(small.port) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(request("GET", "/events?limit=1000"))
        while not 0 < in_use(small) < 200_000:
            pass
    wait_for_use(small, 0)
