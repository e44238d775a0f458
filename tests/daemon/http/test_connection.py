"""One connection's deadlines and what it takes in, with a loop whose time the test turns.

test_fragments.py feeds it whatever a peer may send; test_peers.py does so to a real daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from audit_daemon.http.connection import BODY_DEADLINE_S, HEAD_DEADLINE_S, MAX_AHEAD_BYTES, GuardedProtocol
from audit_daemon.http.transport import CoalescingTransport


class Timer:
    def __init__(self, delay_s: float, due_s: float, ring: Callable[[], object]) -> None:
        self.delay_s = delay_s
        self.due_s = due_s
        self.ring = ring
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """What a protocol asks of a loop; timers ring when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []
        self.soon: list[Callable[[], object]] = []
        self.now_s = 100.0

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> Timer:
        self.timers.append(Timer(delay_s, self.now_s + delay_s, lambda: callback(*args)))
        return self.timers[-1]

    def wait(self, seconds: float) -> None:
        """Let time pass: what is due rings, in its order."""
        end_s = self.now_s + seconds
        while due := [timer for timer in self.running if timer.due_s <= end_s]:
            timer = min(due, key=lambda timer: timer.due_s)
            self.now_s = timer.due_s
            self.timers.remove(timer)
            timer.ring()
        self.now_s = end_s

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        """Call what was to be called soon."""
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def create_task(self, coroutine: Any) -> asyncio.Future[None]:
        coroutine.close()
        return cast("asyncio.Future[None]", _NoTask())

    @property
    def running(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]


class _NoTask:
    def add_done_callback(self, _: object) -> None:
        """Nothing will be done."""


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, _: str) -> None:
        """Nothing is known of the peer."""


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def connection(loop: Loop, transport: Transport) -> GuardedProtocol:
    async def app(scope: object, receive: object, send: object) -> None:
        """Never runs."""

    config = uvicorn.Config(app, log_config=None)
    protocol = GuardedProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
    protocol.connection_made(transport)  # type: ignore[arg-type]  # as much of a transport as is used
    return protocol


def test_a_connection_that_sends_nothing_is_closed_at_the_deadline(
    connection: GuardedProtocol, loop: Loop, transport: Transport
) -> None:
    [deadline] = loop.running
    assert deadline.delay_s == HEAD_DEADLINE_S
    deadline.ring()
    assert transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"application/problem+json" in transport.written
    assert transport.closed


def test_a_whole_head_ends_the_deadline(connection: GuardedProtocol, loop: Loop) -> None:
    connection.data_received(b"GET / HTTP/1.1\r\nHost: daemon\r\n\r\n")
    assert loop.running == []


def test_half_a_head_does_not_extend_the_deadline(connection: GuardedProtocol, loop: Loop) -> None:
    for byte in b"GET / HTTP/1.1\r\nHost: dae":
        connection.data_received(bytes([byte]))
    assert len(loop.timers) == 1
    assert len(loop.running) == 1


def answer(connection: GuardedProtocol) -> None:
    """As the request's task would, had it run."""
    connection.cycle.response_started = connection.cycle.response_complete = True
    connection.on_response_complete()


GET = b"GET / HTTP/1.1\r\nHost: daemon\r\n\r\n"


def test_what_follows_a_request_waits_as_bytes_until_it_is_answered(
    connection: GuardedProtocol, loop: Loop, transport: Transport
) -> None:
    connection.data_received(GET + GET + b"GET / HT")
    first = connection.cycle
    assert not connection.pipeline
    assert connection.buffered_bytes == len(GET + b"GET / HT")
    answer(connection)
    loop.turn()
    assert connection.cycle is not first
    assert HEAD_DEADLINE_S not in [timer.delay_s for timer in loop.running]  # it begins when we come to the head


def test_half_of_a_later_head_has_a_deadline_of_its_own(
    connection: GuardedProtocol, loop: Loop, transport: Transport
) -> None:
    connection.data_received(GET + b"GET / HT")
    answer(connection)
    loop.turn()
    deadlines = [timer for timer in loop.running if timer.delay_s == HEAD_DEADLINE_S]
    assert len(deadlines) == 1
    deadlines[0].ring()
    assert transport.closed
    assert transport.written.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("blank", [b"\r\n", b"\r", b"\r\n\r\n"])
def test_an_empty_line_after_an_answer_does_not_end_the_keep_alive_deadline(
    connection: GuardedProtocol, loop: Loop, blank: bytes
) -> None:
    connection.data_received(GET)
    answer(connection)
    loop.wait(connection.timeout_keep_alive - 1)
    connection.data_received(blank)
    assert not connection.transport.is_closing()
    loop.wait(1)
    assert connection.transport.is_closing()


def test_a_connection_that_goes_on_asking_is_kept(
    connection: GuardedProtocol, loop: Loop, transport: Transport
) -> None:
    for _ in range(10):
        connection.data_received(GET)
        loop.wait(connection.timeout_keep_alive / 2)  # the answer takes its time
        answer(connection)
        assert len(loop.running) == 1
        loop.wait(connection.timeout_keep_alive - 1)
        assert not transport.closed
    loop.wait(1)
    assert transport.closed
    assert transport.written == b""


WAITS = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "half a request line": b"GET / HT",
    "half a head": GET[:-4],
    "half a body": b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nabc",
    "no body after an Expect": b"POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    "half a chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "half an extension": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9;abc",
    "half a trailer": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y",
    "half a body of a GET": b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
}


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "after an answer"])
@pytest.mark.parametrize("name", WAITS)
def test_every_wait_for_a_peer_ends(
    connection: GuardedProtocol, loop: Loop, transport: Transport, name: str, before: bytes
) -> None:
    if before:
        connection.data_received(before)
        answer(connection)
    connection.data_received(WAITS[name])
    loop.wait(max(HEAD_DEADLINE_S, BODY_DEADLINE_S))
    assert transport.closed


def test_a_body_after_its_answer_has_a_deadline_too(
    connection: GuardedProtocol, loop: Loop, transport: Transport
) -> None:
    connection.data_received(WAITS["half a body"])
    answer(connection)
    written = transport.written
    loop.wait(BODY_DEADLINE_S)
    assert transport.closed
    assert transport.written == written


def test_a_peer_that_sends_on_while_it_is_answered_is_stopped(
    connection: GuardedProtocol, transport: Transport
) -> None:
    connection.data_received(GET)
    while transport.reading:
        connection.data_received(GET * 100)
    assert connection.buffered_bytes < MAX_AHEAD_BYTES + 100 * len(GET)


def test_a_peer_whose_body_is_not_read_yet_is_stopped(connection: GuardedProtocol, transport: Transport) -> None:
    connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n")
    while transport.reading:
        connection.data_received(b"x" * 10_000)
    assert connection.buffered_bytes < 2 * MAX_AHEAD_BYTES + 20_000


def test_a_head_that_ends_in_two_parts_may_be_followed_by_a_large_body(
    connection: GuardedProtocol, transport: Transport
) -> None:
    for cut in (1, 2, 3):
        data = b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
        end = data.index(b"\r\n\r\n") + cut
        connection.data_received(data[:end])
        for at in range(end, len(data), 65_536):
            connection.data_received(data[at : at + 65_536])
            connection.cycle.body.clear()  # as it is read
            connection.flow.resume_reading()
        assert transport.written == b""
        assert not connection.pipeline
        answer(connection)


def test_a_turn_of_one_byte_chunks_is_short(connection: GuardedProtocol, loop: Loop) -> None:
    connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"2\r\nxy\r\n" * 8000)
    turns = 1
    while loop.soon:
        loop.turn()
        turns += 1
    assert turns > 3
    assert bytes(connection.cycle.body) == b"xy" * 8000


def test_the_deadline_ends_with_the_connection(connection: GuardedProtocol, loop: Loop) -> None:
    connection.connection_lost(None)
    assert loop.running == []


def test_a_large_write_goes_out_at_once_so_that_a_slow_reader_is_noticed(loop: Loop, transport: Transport) -> None:
    coalescing = CoalescingTransport(transport, loop)  # type: ignore[arg-type]  # as much of both as is used
    coalescing.write(b"head")
    assert transport.written == b""
    coalescing.write(b"x" * 65_536)
    assert transport.written == b"head" + b"x" * 65_536
