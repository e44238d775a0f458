"""Memory used up, wherever it is noticed: a 503, and the place is given back."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import resource
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from audit_daemon.http.connection import GuardedProtocol, on_loop_error
from audit_daemon.http.listener import Listener, Places
from tests.daemon.http.refusals import assert_problem
from tests.daemon.http.wire import exchange, request
from tests.daemon.store.rig import until
from tests.daemon_process import start_daemon

JSON = {"Content-Type": "application/json"}
POST = request("POST", "/events", JSON, b'{"kind":"other","source":"s"}')
DEADLINE_S = 10.0


def fail(*arguments: object, **_: object) -> Any:
    for each in arguments:
        if inspect.iscoroutine(each):
            each.close()
    raise MemoryError


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Never answers."""
    await asyncio.Event().wait()


def connect(places: Places) -> GuardedProtocol:
    config = uvicorn.Config(app)
    config.load()
    return GuardedProtocol(config=config, server_state=ServerState(), app_state={}, places=places)


def served(body: Callable[[Listener, Places, list[GuardedProtocol], int], Any]) -> None:
    """Run `body` beside a listener on a free port, with the connections that it has made."""

    async def run() -> None:
        places, connections = Places(2), list[GuardedProtocol]()

        def made() -> GuardedProtocol:
            connections.append(connect(places))
            return connections[-1]

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listener = Listener(listening, places=places, connect=made)
        listener.start(backlog=10, refusal=b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await body(listener, places, connections, listening.getsockname()[1])
        listener.close()
        for connection in connections:
            connection.transport.abort()
            for task in connection.tasks:
                task.cancel()
        await asyncio.sleep(0)

    asyncio.run(run())


async def status_of(port: int, data: bytes = POST) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    status = await reader.readline()
    writer.close()
    return status


@pytest.mark.parametrize("what", ["_feed", "_end_of_piece", "on_message_begin", "on_header", "on_body"])
def test_where_a_request_cannot_be_parsed_it_is_refused(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(_: Listener, places: Places, __: list[GuardedProtocol], port: int) -> None:
        with monkeypatch.context() as short:
            short.setattr(GuardedProtocol, what, fail)
            assert await status_of(port) == b"HTTP/1.1 503 Service Unavailable\r\n"
        await until(lambda: not places.taken)

    served(body)


def test_where_no_task_can_be_made_the_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(_: Listener, __: Places, connections: list[GuardedProtocol], port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: bool(connections))
        with monkeypatch.context() as short:
            short.setattr(asyncio.get_running_loop(), "create_task", fail)
            writer.write(POST)
            assert await reader.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
        writer.close()

    served(body)


def test_where_the_loop_cannot_read_the_peer_is_told_before_it_is_cut_off() -> None:
    """As uvloop does it: it calls the handler of errors, then closes."""

    async def body(_: Listener, __: Places, connections: list[GuardedProtocol], port: int) -> None:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        clients[1][1].write(POST[:-5])  # the other one has sent nothing
        await until(lambda: len(connections) == 2 and any(each.cycle is not None for each in connections))
        for connection in connections:
            context = {"message": "", "protocol": connection, "exception": MemoryError()}
            on_loop_error(asyncio.get_running_loop(), context)
            connection.transport.abort()
        for reader, writer in clients:
            assert await reader.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
            writer.close()

    served(body)


def test_an_answer_that_is_due_is_not_preceded_by_another() -> None:
    async def body(_: Listener, __: Places, connections: list[GuardedProtocol], port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        await until(lambda: any(each._answer_is_due() for each in connections))
        context = {"message": "", "protocol": connections[0], "exception": MemoryError()}
        on_loop_error(asyncio.get_running_loop(), context)
        connections[0].transport.abort()
        with contextlib.suppress(ConnectionError):
            assert await reader.readline() == b""
        writer.close()

    served(body)


@pytest.mark.parametrize("what", ["create_task", "connect_accepted_socket"])
def test_where_a_connection_cannot_be_made_its_peer_is_told_and_its_place_is_free(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(_: Listener, places: Places, __: list[GuardedProtocol], port: int) -> None:
        for round_ in range(5):
            with monkeypatch.context() as short:
                short.setattr(asyncio.get_running_loop(), what, fail)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
            writer.close()
            assert places.taken == 0, round_

    served(body)


def test_where_nobody_can_be_accepted_the_loop_rests_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(listener: Listener, places: Places, _: list[GuardedProtocol], port: int) -> None:
        tries = 0

        class Short:
            def __getattr__(self, name: str) -> Any:
                return getattr(listening, name)

            def fileno(self) -> int:
                return listening.fileno()

            def accept(self) -> Any:
                nonlocal tries
                tries += 1
                raise MemoryError

        listening = listener._socket
        listener._socket = Short()  # type: ignore[assignment]
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: tries > 0)
        for _turn in range(1_000):
            await asyncio.sleep(0)
        assert tries < 100
        listener._socket = listening
        await until(lambda: places.taken > 0)
        writer.close()

    served(body)


@pytest.mark.chaos
@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's memory from /proc")
def test_a_daemon_whose_memory_is_limited_answers_everybody(tmp_path: Path) -> None:
    """Batches for which there is no memory are refused; single events get in, meanwhile and later."""
    event = b'{"kind":"other","source":"s","payload":{"text":"%b"}}' % (b"x" * 3_000)
    batch = request("POST", "/events/batch", JSON, b"[" + b",".join([event] * 5_400) + b"]")
    with start_daemon(tmp_path / "audit.db") as daemon, ThreadPoolExecutor(40) as peers:
        assert exchange(daemon.port, POST).status == 201
        status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
        held = re.search(r"VmSize:\s+(\d+) kB", status)
        assert held is not None
        limit = (int(held[1]) << 10) + (160 << 20)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (limit, limit))
        for _ in range(3):
            batches = [peers.submit(exchange, daemon.port, batch) for _ in range(32)]
            singles = [peers.submit(exchange, daemon.port, POST) for _ in range(100)]
            for answer in [each.result() for each in batches]:
                if answer.status != 201:
                    assert_problem(answer, 503)
            assert {each.result().status for each in singles} == {201}
