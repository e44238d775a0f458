"""Many peers at once: those that wait give way to those that ask, and nobody is reset for want of a descriptor."""

from __future__ import annotations

import contextlib
import itertools
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.http.refusals import assert_problem
from tests.daemon.http.sse import following
from tests.daemon.http.test_peers import JSON, POST, resident_bytes, wait_until
from tests.daemon.http.wire import AnswerReader, connected, exchange, read_answer, request
from tests.daemon_process import DaemonProcess, start_daemon

MAX_FILES = 200


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with start_daemon(tmp_path_factory.mktemp("small") / "audit.db", max_files=MAX_FILES) as running:
        yield running
        assert running.stop() == 0
    assert "Traceback" not in running.printed


@pytest.fixture
def small(shared: DaemonProcess) -> DaemonProcess:
    """A daemon that may have few files open, and has let go of the peers of the test before."""
    wait_until(lambda: _sockets(shared) < 10)
    return shared


def _sockets(daemon: DaemonProcess) -> int:
    names = []
    for entry in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(str(entry.readlink()))
    return sum(name.startswith("socket:") for name in names)


@contextlib.contextmanager
def holding(port: int, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(port)) for _ in range(count)]
        for connection in connections:
            connection.sendall(data)
        yield connections


WAITING = {
    "that say nothing": b"",
    "with half a head": POST[:20],
    "that send empty lines": b"\r\n",
    "that have had their answer": POST,
    "that send an empty line after their answer": POST + b"\r\n",
    "that close their sending side": b"GET /nope HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", WAITING)
def test_twice_as_many_peers_as_descriptors_keep_no_producer_out(small: DaemonProcess, name: str) -> None:
    with holding(small.port, 2 * MAX_FILES, WAITING[name]) as connections:
        if "close" in name:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
        if "answer" in name:
            for connection in connections:
                with contextlib.suppress(ConnectionError):
                    connection.recv(1)
        for _ in range(10):
            assert exchange(small.port, POST).status == 201


def test_a_producer_that_is_at_work_keeps_its_connection_in_a_crowd(small: DaemonProcess) -> None:
    """Strangers give way to one another before a peer that has asked something before."""
    with connected(small.port) as producer:
        reader = AnswerReader(producer)
        for _ in range(3):
            producer.sendall(POST)
            assert reader.read().status == 201
            with holding(small.port, 2 * MAX_FILES):
                assert exchange(small.port, POST).status == 201


def test_when_all_are_served_the_next_is_told_so(small: DaemonProcess) -> None:
    with contextlib.ExitStack() as stack:
        status, headers = 200, dict[str, str]()
        while status == 200:
            connection = stack.enter_context(connected(small.port))
            connection.sendall(request("GET", "/stream"))
            status, headers = AnswerReader(connection).read_head()
        assert status == 503
        assert headers["retry-after"] == "1"
        assert headers["connection"] == "close"
        for _ in range(5):
            answer = exchange(small.port, POST)
            assert_problem(answer, 503, "too many connections")


def test_no_descriptors_left_is_a_503_and_passes(small: DaemonProcess) -> None:
    """Also when somebody else has used them up, on every route."""
    with connected(small.port) as producer, connected(small.port) as searcher, connected(small.port) as auditor:
        for connection in (producer, searcher, auditor):
            connection.sendall(POST)
            assert read_answer(connection).status == 201
        with _no_more_files(small):
            producer.sendall(POST)
            assert read_answer(producer).status == 201
            searcher.sendall(request("GET", "/events?q=word&limit=1000"))
            assert_problem(read_answer(searcher), 503)
            auditor.sendall(request("GET", "/verify"))
            assert_problem(read_answer(auditor), 503)
            assert exchange(small.port, POST).status == 201  # one of the three has made room
        for _ in range(3):
            assert exchange(small.port, POST).status == 201
            assert exchange(small.port, request("GET", "/events?q=word&limit=1000")).status == 200
        assert exchange(small.port, request("GET", "/verify")).json()["valid"] is True


@contextlib.contextmanager
def _no_more_files(daemon: DaemonProcess) -> Iterator[None]:
    """The daemon has as many files open as it may meanwhile."""
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    lowest_free = next(number for number in itertools.count() if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_stop_ends_100_streams_quickly_and_without_a_traceback(tmp_path: Path) -> None:
    with start_daemon(tmp_path / "audit.db") as daemon, contextlib.ExitStack() as stack:
        followers = [stack.enter_context(following(daemon.port)) for _ in range(100)]
        assert exchange(daemon.port, POST).status == 201
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
        for follower in followers:
            assert [message.id for message in follower.rest()] == [1]
    assert "Traceback" not in daemon.printed
    assert '"level":"error"' not in daemon.printed.replace(" ", "")


def test_a_stop_with_peers_that_read_nothing_logs_no_traceback(tmp_path: Path) -> None:
    event = b'{"kind":"other","source":"s","payload":{"x":"%b"}}' % (b"x" * 60_000)
    with start_daemon(tmp_path / "audit.db") as daemon:
        for _ in range(2):
            batch = b"[" + b",".join([event] * 200) + b"]"
            assert exchange(daemon.port, request("POST", "/events/batch", JSON, batch)).status == 201
        streams = [request("GET", "/stream?since_id=0"), request("GET", "/events?limit=400"), POST[:-5], POST[:20]]
        with contextlib.ExitStack() as stack:
            for data in streams * 5:
                connection = stack.enter_context(connected(daemon.port))
                connection.sendall(data)
            assert exchange(daemon.port, request("GET", "/healthz")).status == 200
            assert daemon.stop() == 0
    assert "Traceback" not in daemon.printed


@pytest.mark.chaos
def test_a_stop_ends_500_streams_of_which_some_read_nothing(tmp_path: Path) -> None:
    event = b'{"kind":"other","source":"s","payload":{"x":"%b"}}' % (b"x" * 60_000)
    batch = request("POST", "/events/batch", JSON, b"[" + b",".join([event] * 200) + b"]")
    with start_daemon(tmp_path / "audit.db") as daemon, contextlib.ExitStack() as stack:
        assert exchange(daemon.port, batch).status == 201
        followers = [stack.enter_context(following(daemon.port, "/stream?since_id=199")) for _ in range(400)]
        for _ in range(100):
            stalled = stack.enter_context(connected(daemon.port))
            stalled.sendall(request("GET", "/stream?since_id=0"))
        assert exchange(daemon.port, POST).status == 201
        assert daemon.stop() == 0
        for follower in followers[:300]:
            assert follower.rest()[-1].id == 201
    assert "Traceback" not in daemon.printed


FRAGMENTS = [
    *(POST, POST[:-5], POST[:20], POST * 50, b"\r\n", b"\x00", b"0\r\n\r\n", b"X: y\r\n" * 3000, b"1\r\nx\r\n" * 3000),
    *(request("GET", target) for target in ("/stream", "/events?limit=1000", "/events?q=word", "/verify", "/nope")),
    request("GET", "/stream", {"Transfer-Encoding": "chunked"}),
    request("POST", "/events/batch", JSON | {"Transfer-Encoding": "chunked"}),
    request("POST", "/events", JSON | {"Content-Length": "60000", "Expect": "100-continue"}),
    b"8000\r\n" + b" " * 0x8000 + b"\r\n",
    b"a" * 50_000,
]


@pytest.mark.chaos
def test_twelve_hostile_peers_at_once_neither_grow_the_daemon_nor_stop_a_producer(tmp_path: Path) -> None:
    """For 30 s: fragments in any order, read or not, then closed, half-closed, reset, or left."""
    with start_daemon(tmp_path / "audit.db", max_files=600) as daemon:
        for _ in range(200):
            assert exchange(daemon.port, POST).status == 201
        until = time.monotonic() + 30
        threads = [threading.Thread(target=_misbehave, args=(daemon.port, seed, until)) for seed in range(12)]
        before = resident_bytes(daemon)
        for thread in threads:
            thread.start()
        slowest_s, count = 0.0, 0
        while time.monotonic() < until:
            began = time.monotonic()
            assert exchange(daemon.port, POST).status == 201
            slowest_s, count = max(slowest_s, time.monotonic() - began), count + 1
        for thread in threads:
            thread.join()
        assert slowest_s < 5
        assert count > 100
        assert resident_bytes(daemon) < before + (200 << 20)
        assert exchange(daemon.port, request("GET", "/verify")).json()["valid"] is True
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.printed


def _misbehave(port: int, seed: int, until: float) -> None:
    chance = random.Random(seed)
    left: list[socket.socket] = []
    while time.monotonic() < until:
        connection = socket.create_connection(("127.0.0.1", port), timeout=0.2)
        with contextlib.suppress(OSError):
            for _ in range(chance.randrange(12)):
                data = chance.choice(FRAGMENTS)
                cut = chance.randrange(len(data) + 1)
                connection.sendall(data[:cut])
                connection.sendall(data[cut:] if chance.random() < 0.8 else b"")
                if chance.random() < 0.3:
                    connection.recv(chance.choice([1, 1000, 100_000]))
            end = chance.choice(["close", "half", "reset", "leave"])
            if end == "half":
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100_000)
            if end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if end == "leave":
                left.append(connection)
        if connection not in left:
            connection.close()
        if len(left) > 20:
            left.pop(0).close()
    for connection in left:
        connection.close()
