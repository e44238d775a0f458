"""Running the daemon: sockets, the uvicorn server, signals, and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable

import structlog
import uvicorn

from audit_daemon import logs
from audit_daemon.daemon import Daemon
from audit_daemon.http.asgi import Receive, Scope, Send, answer
from audit_daemon.http.connection import NO_MEMORY, GuardedProtocol, on_loop_error, whole_answer
from audit_daemon.http.gateway import Gateway
from audit_daemon.http.listener import Listener, Places, raise_descriptor_limit
from audit_daemon.http.problems import Problem, encode_problem, problem_headers
from audit_daemon.http.sending import CountedProtocol
from audit_daemon.settings import Settings, SettingsError
from audit_stream import __version__

__all__ = ["serve"]

_log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S = 0.0001
"""How long a thread may keep Python's interpreter lock. At the default of 5 ms the writer waits that long for the
busy event loop after every SQLite step (docs/design.md, "What was measured")."""

_KEEP_ALIVE_S = 75
"""Longer than any pool of a producer keeps a connection (httpx: 5 s): the side that closes an idle connection first
must be the one that would send next, or a post meets the close on its way and is lost."""

_GC_THRESHOLD = 50_000
"""New objects between two runs of the collector. A batch of 1,000 events makes thousands, none in a cycle; at the
default of 700 the collector ran all the time."""

_GRACE_S = 1
"""What open requests get to finish in when the daemon stops; a stop takes less than three seconds."""

_BACKLOG = 2048
_UNSENT_BYTES = 128 << 10
"""How much the kernel holds for a reader beside what is on its way to it; it would take megabytes for each."""

_DEAD_PEER_S = 120
"""A peer that vanished without a word, or that reads nothing for so long, is dropped; it resumes by its cursor."""

_NO_PLACE = Problem(503, "too many connections: every one has a request under way", headers={"Retry-After": "1"})


class _Server(uvicorn.Server):
    """uvicorn with a listener of our own, and with a stop that ends streams first and logs no cancelled requests."""

    def __init__(
        self, config: uvicorn.Config, daemon: Daemon, listening: socket.socket, places: Places, *, started: float
    ) -> None:
        super().__init__(config)
        self._daemon = daemon
        self._listening = listening
        self._places = places
        self._url = _url_of(listening)
        self._started = started
        self._listener: Listener | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and log the address once requests are answered, so that whoever reads the line can connect."""
        asyncio.get_running_loop().set_exception_handler(on_loop_error)
        try:
            await super().startup([])  # the application; no sockets for uvicorn
            self._listener = Listener(self._listening, places=self._places, connect=self._connect)
            self._listener.start(backlog=_BACKLOG, refusal=whole_answer(_NO_PLACE))
        except SystemExit:
            if self._daemon.start_error is not None:
                _log.error("cannot start", reason=str(self._daemon.start_error))
            raise
        _log.info(
            "listening",
            url=self._url,
            database=str(self._daemon.settings.db_path),
            version=__version__,
            start_ms=round((time.perf_counter() - self._started) * 1000),
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, finish appends and streams, then stop as uvicorn does."""
        if self._listener is not None:
            self._listener.close()  # first, or a browser whose stream has ended would be back at once
        await self._daemon.finish(_GRACE_S)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._requests_end(_GRACE_S)
        for connection in list(self.server_state.connections):
            connection.give_up()  # type: ignore[union-attr]  # every one of them is a GuardedProtocol
        await self._requests_end(_GRACE_S)
        for request in self.server_state.tasks:
            request.cancel()  # it waits for a disk that hangs
        await self._requests_end(_GRACE_S)
        await super().shutdown()

    async def _requests_end(self, timeout_s: float) -> None:
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=timeout_s)

    def _connect(self) -> CountedProtocol:
        return CountedProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            places=self._places,
            budget=self._daemon.budget,
        )


def serve(settings: Settings) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code: 0 after a clean stop, 1 when it could not start."""
    started = time.perf_counter()
    logs.configure(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    places = Places(raise_descriptor_limit())
    try:
        listening = _bind(settings.host, settings.port)
    except SettingsError as error:
        _log.error("cannot start", reason=str(error))
        return 1
    daemon = Daemon(settings)
    config = uvicorn.Config(
        _cancellable(daemon.asgi),
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # access.py decides by the peer that is connected, which no header can forge
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config, daemon, listening, places, started=started)
    logging.getLogger("uvicorn.error").addFilter(lambda _: daemon.start_error is None)  # startup says it in a line
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raised again after a clean stop, it must not kill us
    gc.freeze()  # what is loaded now stays: the collector need not walk it again and again
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    gc.enable()
    # uvicorn raises the signal again after a clean stop, and exits when the lifespan failed to start
    with listening, contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()
    if daemon.hung:  # Python would wait for threads that wait for the disk
        os._exit(1)
    return 0 if server.started else 1


def _cancellable(app: Gateway) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The application, whose requests may be cancelled, and may run out of memory.

    uvicorn would log either with a traceback, and answer the latter with a 500.
    """

    async def cancellable(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
        except MemoryError:
            if scope["type"] != "http":
                raise
            await answer(send, NO_MEMORY.status, problem_headers(NO_MEMORY), encode_problem(NO_MEMORY))

    return cancellable


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket; accepted ones inherit its keep-alive settings. Raises SettingsError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_USER_TIMEOUT", _DEAD_PEER_S * 1000),
        ("TCP_NOTSENT_LOWAT", _UNSENT_BYTES),
    ):
        if hasattr(socket, option):  # Linux has all three
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    listening.set_inheritable(False)
    return listening


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    reason = error.strerror or str(error)
    return SettingsError(f"cannot listen on {host} port {port}: {reason}; choose another with --host or --port")
