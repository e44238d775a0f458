"""What one peer can cost, and what it may rely on: every byte and every wait of it is bounded, whatever the route."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.http.refusals import assert_problem, event_count
from tests.daemon.http.sse import following
from tests.daemon.http.wire import DEADLINE_S, AnswerReader, connected, exchange, read_answer, request
from tests.daemon_process import DaemonProcess

JSON = {"Content-Type": "application/json"}
CHUNKED = JSON | {"Transfer-Encoding": "chunked"}
GOOD = b'{"kind":"other","source":"s"}'
POST = request("POST", "/events", JSON, GOOD)

SOCKETS_BYTES = 16 << 20
"""What the kernel's buffers on both sides take at most before a sender notices that nobody reads."""


def resident_bytes(daemon: DaemonProcess) -> int:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def subscribers(daemon: DaemonProcess) -> int:
    count: int = exchange(daemon.port, request("GET", "/stats")).json()["subscribers"]
    return count


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextlib.contextmanager
def sending(connection: socket.socket, data: bytes, *, at_most: int) -> Iterator[list[int]]:
    """Send the same bytes again and again from a thread until the daemon closes; the list's sum is what it took."""
    sent: list[int] = []

    def send() -> None:
        with contextlib.suppress(OSError):
            while sum(sent) < at_most:
                sent.append(connection.send(data))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def wait_for_close(connection: socket.socket) -> bytes:
    """All that the daemon sends until it closes."""
    received = []
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            received.append(data)
    return b"".join(received)


BLOCK = b"x" * 0x8000
ENDLESS = {
    "a chunked body": b"8000\r\n" + BLOCK + b"\r\n",
    "chunks of one byte": b"1\r\nx\r\n" * 4096,
    "a chunk's extension": b"1;" + BLOCK,
    "a trailer's name": b"0\r\n" + BLOCK,
    "a trailer's value": b"0\r\nX: " + BLOCK,
    "trailers": b"0\r\n" + b"X: y\r\n" * 4096,
}
REPEATED = {
    "a chunk's extension": BLOCK,
    "a trailer's name": BLOCK,
    "a trailer's value": BLOCK,
    "trailers": b"X: y\r\n" * 4096,
}


@pytest.mark.parametrize("target", ["/stream", "/events", "/verify", "/nope"])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_get_with_a_body_without_end_is_closed_after_little(daemon: DaemonProcess, target: str, name: str) -> None:
    before = resident_bytes(daemon)
    with connected(daemon.port) as connection:
        connection.sendall(request("GET", target, {"Transfer-Encoding": "chunked"}) + ENDLESS[name])
        with sending(connection, REPEATED.get(name, ENDLESS[name]), at_most=4 * SOCKETS_BYTES) as sent:
            wait_for_close(connection)
    assert sum(sent) < 2 * SOCKETS_BYTES
    assert resident_bytes(daemon) < before + (16 << 20)


@pytest.mark.parametrize("target", ["/events", "/events/batch"])
@pytest.mark.parametrize("name", [name for name in ENDLESS if name != "a chunked body"])
def test_endless_framing_of_a_post_is_refused_and_stores_nothing(daemon: DaemonProcess, target: str, name: str) -> None:
    before, memory = event_count(daemon), resident_bytes(daemon)
    with connected(daemon.port) as connection:
        connection.sendall(request("POST", target, CHUNKED) + ENDLESS[name])
        with sending(connection, REPEATED.get(name, ENDLESS[name]), at_most=4 * SOCKETS_BYTES) as sent:
            assert_problem(read_answer(connection), 400, "out of proportion")
    assert sum(sent) < 2 * SOCKETS_BYTES
    assert event_count(daemon) == before
    assert resident_bytes(daemon) < memory + (16 << 20)


def test_a_trailer_after_a_large_body_has_the_same_limit(daemon: DaemonProcess) -> None:
    """The body does not pay for it: a trailer costs more the longer it gets."""
    batch = json.dumps([{"kind": "other", "source": "s"}] * 10).encode() + b" " * (4 << 20)
    with connected(daemon.port) as connection:
        head = request("POST", "/events/batch", CHUNKED)
        connection.sendall(head + b"%x\r\n%b\r\n0\r\nX: " % (len(batch), batch))
        with sending(connection, BLOCK, at_most=4 * SOCKETS_BYTES) as sent:
            assert_problem(read_answer(connection), 400, "out of proportion")
    assert sum(sent) < SOCKETS_BYTES


def test_small_chunks_and_a_few_trailers_are_read(daemon: DaemonProcess) -> None:
    event = json.dumps({"kind": "other", "source": "s", "payload": {"text": "x" * 50_000}}).encode()
    chunks = b"".join(b"2;a=b\r\n%b\r\n" % event[at : at + 2] for at in range(0, 20_000, 2))
    rest = event[20_000:]
    body = chunks + b"%x\r\n%b\r\n0\r\nX: y\r\nZ: %b\r\n\r\n" % (len(rest), rest, b"z" * 30_000)
    assert exchange(daemon.port, request("POST", "/events", CHUNKED, body)).status == 201


@pytest.mark.parametrize("path", ["/nope", "/stats"])
def test_a_body_that_nobody_reads_is_dropped_up_to_a_limit(daemon: DaemonProcess, path: str) -> None:
    with connected(daemon.port) as connection:
        connection.sendall(request("POST", path, JSON | {"Content-Length": str(1 << 40)}))
        with sending(connection, BLOCK, at_most=4 * SOCKETS_BYTES) as sent:
            wait_for_close(connection)
    assert sum(sent) < 2 * SOCKETS_BYTES


def test_a_small_body_of_a_get_is_ignored(daemon: DaemonProcess) -> None:
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        connection.sendall(request("GET", "/healthz", JSON, b"x" * 100_000) * 2)
        assert [reader.read().status for _ in range(2)] == [200, 200]


def test_a_head_in_two_parts_may_be_followed_by_a_large_body(daemon: DaemonProcess) -> None:
    """What comes with the end of a head is not the head."""
    batch = json.dumps([{"kind": "other", "source": "s", "payload": {"n": "x" * 1000}}] * 500).encode()
    data = request("POST", "/events/batch", JSON, batch)
    with connected(daemon.port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(data[:20])
        assert exchange(daemon.port, request("GET", "/healthz")).status == 200  # the first part has been read
        connection.sendall(data[20:])
        assert read_answer(connection).status == 201


def test_more_headers_than_a_proxy_adds_are_refused(daemon: DaemonProcess) -> None:
    answer = exchange(daemon.port, request("GET", "/healthz", {f"X-{number}": "1" for number in range(300)}))
    assert_problem(answer, 431, "256 headers")


def test_empty_lines_between_requests_are_few(daemon: DaemonProcess) -> None:
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        connection.sendall(b"\r\n" + request("GET", "/healthz") + b"\r\n" + request("GET", "/healthz"))
        assert [reader.read().status for _ in range(2)] == [200, 200]
        connection.sendall(b"\r\n" * 1000)
        assert_problem(reader.read(), 400)
        assert reader.at_end()


def test_3_000_requests_in_one_go_are_answered_in_order(daemon: DaemonProcess) -> None:
    count = 1500
    with connected(daemon.port) as connection:
        reader = AnswerReader(connection)
        data = (request("POST", "/events", JSON, b"{}") + request("POST", "/events", JSON, b"")) * count
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        details = [reader.read().json()["detail"] for _ in range(2 * count)]
        sender.join()
    assert details == details[:2] * count
    assert details[0] != details[1]


def test_what_is_no_http_after_a_request_is_refused_after_its_answer(daemon: DaemonProcess) -> None:
    for follower in (b"garbage\r\n\r\n", b"\x00", b"GET /\x00 HTTP/1.1\r\n\r\n"):
        with connected(daemon.port) as connection:
            reader = AnswerReader(connection)
            connection.sendall(POST + POST + follower)
            assert [reader.read().status for _ in range(3)] == [201, 201, 400]
            assert reader.at_end()


HALF_CLOSED = {
    "an event": (POST, [201]),
    "a batch": (request("POST", "/events/batch", JSON, b"[" + b",".join([GOOD] * 5000) + b"]"), [201]),
    "a page": (request("GET", "/events?limit=1"), [200]),
    "a search": (request("GET", "/events?q=nothing-has-these-words"), [200]),
    "a large page": (request("GET", "/events?limit=100000"), [200]),
    "a verification": (request("GET", "/verify"), [200]),
    "a refusal": (request("GET", "/nope"), [404]),
    "three events and a page": (POST * 3 + request("GET", "/events?limit=1"), [201, 201, 201, 200]),
    "300 events": (POST * 300, [201] * 300),
    "an event and half of another": (POST + POST[:-5], [201]),
    "an event and half a head": (POST + POST[:20], [201]),
    "an event and an empty line": (POST + b"\r\n", [201]),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
}


@pytest.mark.parametrize("name", HALF_CLOSED)
def test_who_closes_its_sending_side_still_gets_its_answers(daemon: DaemonProcess, name: str) -> None:
    data, statuses = HALF_CLOSED[name]
    with connected(daemon.port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        reader = AnswerReader(connection)
        assert [reader.read().status for _ in statuses] == statuses
        assert reader.at_end()


def test_who_closes_its_sending_side_in_its_body_stores_nothing(daemon: DaemonProcess) -> None:
    before = event_count(daemon)
    with connected(daemon.port) as connection:
        connection.sendall(POST[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert wait_for_close(connection) == b""
    assert event_count(daemon) == before


@pytest.mark.parametrize("behind", [b"", POST, POST * 2000], ids=["nothing", "one request", "more than is read on"])
def test_a_follower_that_hangs_up_is_noticed_whatever_it_sent_behind_its_request(
    daemon: DaemonProcess, behind: bytes
) -> None:
    before = subscribers(daemon)
    with following(daemon.port) as follower:
        assert subscribers(daemon) == before + 1
        follower.connection.sendall(behind)
    wait_until(lambda: subscribers(daemon) == before)


def test_a_follower_that_closes_its_sending_side_is_let_go(daemon: DaemonProcess) -> None:
    with following(daemon.port) as follower:
        follower.connection.shutdown(socket.SHUT_WR)
        wait_for_close(follower.connection)


def test_peers_that_vanish_in_the_middle_of_anything_leave_no_traceback(daemon: DaemonProcess) -> None:
    requests = [POST, request("GET", "/events?limit=100000"), request("GET", "/verify"), request("GET", "/stream")]
    requests += [request("GET", "/events?q=x"), request("POST", "/events/batch", JSON, b"[" + GOOD + b"]"), POST[:-5]]
    for data, reads, repeat in itertools.product(requests, (False, True), (1, 2)):
        with connected(daemon.port) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets
            connection.sendall(data * repeat)
            if reads and data != POST[:-5]:
                connection.recv(10)
    assert exchange(daemon.port, POST).status == 201
    assert "Traceback" not in daemon.printed
