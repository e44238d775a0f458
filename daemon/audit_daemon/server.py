"""Running the daemon: sockets, the uvicorn server, signals, and an exit code."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import socket
import sys
import time

import structlog
import uvicorn

from audit_daemon import logs
from audit_daemon.daemon import Daemon
from audit_daemon.http.connection import GuardedProtocol
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
"""What open requests get to finish in when the daemon stops; a stop takes less than two seconds."""

_BACKLOG = 2048
_DEAD_PEER_S = 120
"""A peer that vanished without a word, or that reads nothing for so long, is dropped; it resumes by its cursor."""


class _Server(uvicorn.Server):
    """uvicorn waits for open connections before it stops the application, so streams must be ended before that."""

    def __init__(self, config: uvicorn.Config, daemon: Daemon, url: str, started: float) -> None:
        super().__init__(config)
        self._daemon = daemon
        self._url = url
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and log the address once requests are answered, so that whoever reads the line can connect."""
        try:
            await super().startup(sockets)
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
        for server in self.servers:
            server.close()  # first, or a browser whose stream has ended would be back at once
        await self._daemon.finish(_GRACE_S)
        await super().shutdown(sockets)


def serve(settings: Settings) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code: 0 after a clean stop, 1 when it could not start."""
    started = time.perf_counter()
    logs.configure(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        listener = _listen(settings.host, settings.port)
    except SettingsError as error:
        _log.error("cannot start", reason=str(error))
        return 1
    daemon = Daemon(settings)
    config = uvicorn.Config(
        daemon.asgi,
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # access.py decides by the peer that is connected, which no header can forge
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        backlog=_BACKLOG,
    )
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server = _Server(config, daemon, url, started)
    logging.getLogger("uvicorn.error").addFilter(lambda _: daemon.start_error is None)  # startup says it in a line
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raised again after a clean stop, it must not kill us
    gc.freeze()  # what is loaded now stays: the collector need not walk it again and again
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    gc.enable()
    # uvicorn raises the signal again after a clean stop, and exits when the lifespan failed to start
    with listener, contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; accepted ones inherit its keep-alive settings. Raises SettingsError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_USER_TIMEOUT", _DEAD_PEER_S * 1000)):
        if hasattr(socket, option):  # Linux has all three
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    listener.set_inheritable(False)
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    reason = error.strerror or str(error)
    return SettingsError(f"cannot listen on {host} port {port}: {reason}; choose another with --host or --port")
