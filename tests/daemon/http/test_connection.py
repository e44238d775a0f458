"""The connection's deadline for a head, with a loop whose time the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from audit_daemon.http.connection import HEAD_DEADLINE_S, GuardedProtocol
from audit_daemon.http.transport import CoalescingTransport


class Timer:
    def __init__(self, delay_s: float, ring: Callable[[], object]) -> None:
        self.delay_s = delay_s
        self.ring = ring
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """What a protocol asks of a loop; timers ring when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> Timer:
        self.timers.append(Timer(delay_s, lambda: callback(*args)))
        return self.timers[-1]

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Never: what is written stays pending until the transport is closed."""

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

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

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


def test_half_of_a_later_head_has_a_deadline_of_its_own(
    connection: GuardedProtocol, loop: Loop, transport: Transport
) -> None:
    connection.data_received(b"GET / HTTP/1.1\r\nHost: daemon\r\n\r\nGET / HT")
    [deadline] = loop.running
    deadline.ring()
    assert transport.closed
    assert transport.written == b""  # the first request's answer is still to come


def test_the_deadline_ends_with_the_connection(connection: GuardedProtocol, loop: Loop) -> None:
    connection.connection_lost(None)
    assert loop.running == []


def test_a_large_write_goes_out_at_once_so_that_a_slow_reader_is_noticed(loop: Loop, transport: Transport) -> None:
    coalescing = CoalescingTransport(transport, loop)  # type: ignore[arg-type]  # as much of both as is used
    coalescing.write(b"head")
    assert transport.written == b""
    coalescing.write(b"x" * 65_536)
    assert transport.written == b"head" + b"x" * 65_536
