"""Who is let in: accepting connections, within what the process may have open.

A server that runs out of descriptors can accept nobody, and libuv then resets whoever waits, as long as the peers
that are connected choose to stay. So there are fewer places than descriptors. When all are taken, the peer that has
waited longest without a request makes room; when all have one, whoever comes is told so with a 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Callable
from itertools import islice
from typing import Protocol

import structlog

from audit_daemon.http.problems import is_exhaustion

__all__ = ["Listener", "Places", "raise_descriptor_limit"]

_log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 10_000
"""However many descriptors there are: each connection takes some 20 KB, its buffers not counted."""

_OTHER_DESCRIPTORS = 96
"""Kept for files, pipes, and connections that are closing: three files a connection to the database (at most 8 of
these), six a verification, and what is accepted in one turn."""

_ACCEPTS_A_TURN = 16
_LOOKED_AT = 16  # waiting connections, for one whose answer is on its way
_RETRY_S = 0.1
_LOG_EVERY_S = 60.0


def raise_descriptor_limit() -> int:
    """Let this process have as many files open as it may. Returns for how many connections that is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_DESCRIPTORS
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(ValueError, OSError):  # macOS has a limit below the one that it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft - min(_OTHER_DESCRIPTORS, soft // 2)))


class Closable(Protocol):
    """What a place is given to."""

    transport: asyncio.Transport


class Places:
    """The places for connections: who has one, and who gives it up first. Belongs to the event loop's thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.taken = 0
        self._new: dict[Closable, None] = {}  # have not sent a whole head yet, the oldest first
        self._idle: dict[Closable, None] = {}  # have their answer and have asked nothing since, the longest first

    def enter(self) -> bool:
        """Take a place for a connection that is being accepted; False when all are taken by peers with requests."""
        if self.taken >= self._count and not self.make_room():
            return False
        self.taken += 1
        return True

    def make_room(self) -> bool:
        """Close the connection that has waited longest without a request, strangers first. False when there is none."""
        for waiting in (self._new, self._idle):
            for connection in list(islice(waiting, _LOOKED_AT)):
                del waiting[connection]
                if not connection.transport.get_write_buffer_size():
                    connection.transport.close()
                    return True
                waiting[connection] = None  # it still reads its answer
        return False

    def expect_request(self, connection: Closable, *, first: bool = False) -> None:
        """The connection waits for a request of its peer."""
        (self._new if first else self._idle)[connection] = None

    def serve(self, connection: Closable) -> None:
        """The connection has a request: it is not closed for others."""
        self._new.pop(connection, None)
        self._idle.pop(connection, None)

    def leave(self, connection: Closable | None = None) -> None:
        """Give the place back: the connection is closed, or was never made."""
        self.taken -= 1
        if connection is not None:
            self.serve(connection)


class Listener:
    """Accepts connections on a listening socket, each for a protocol that `connect` makes.

    asyncio's own server would stop listening for good at some errors of accept(2), and resets peers at others.
    """

    def __init__(self, listening: socket.socket, *, places: Places, connect: Callable[[], asyncio.Protocol]) -> None:
        self._socket = listening
        self._places = places
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._spare: int | None = None
        self._logged_s = -_LOG_EVERY_S
        self._refusal = b""

    def start(self, *, backlog: int, refusal: bytes) -> None:
        """Listen. Who cannot be let in is answered with the bytes of `refusal`."""
        self._refusal = refusal
        self._socket.listen(backlog)
        self._socket.setblocking(False)
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Accept nobody any more."""
        self._loop.remove_reader(self._socket)
        if self._retry is not None:
            self._retry.cancel()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except (OSError, MemoryError) as error:
                if is_exhaustion(error):
                    self._wait_for_room(error)
                    return
                continue  # accept(2) reports what happened to a peer on its way to us
            if self._places.enter():
                self._begin(accepted)
            else:
                self._refuse(accepted)
                self._log("all places are taken by peers with requests", places=self._places.taken)

    def _begin(self, accepted: socket.socket) -> None:
        opening = self._open(accepted)
        try:
            task = self._loop.create_task(opening)
        except MemoryError:
            opening.close()
            self._places.leave()
            self._refuse(accepted)
            return
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connect, accepted)
        except (OSError, RuntimeError, MemoryError):  # it is gone already, or there is no memory for it
            self._places.leave()
            self._refuse(accepted)

    def _refuse(self, accepted: socket.socket) -> None:
        with accepted, contextlib.suppress(OSError):
            accepted.setblocking(False)
            accepted.send(self._refusal)
            accepted.shutdown(socket.SHUT_WR)

    def _wait_for_room(self, error: OSError | MemoryError) -> None:
        """Descriptors or memory are used up: make room if there is a place to free, or say so to a peer."""
        self._retry = self._loop.call_later(_RETRY_S, self._loop.add_reader, self._socket, self._accept)
        self._loop.remove_reader(self._socket)  # or the loop would turn and turn
        self._log("cannot accept connections", reason=getattr(error, "strerror", None) or type(error).__name__)
        if not self._places.make_room() and self._spare is not None:
            os.close(self._spare)
            self._spare = None
            with contextlib.suppress(OSError):
                self._refuse(self._socket.accept()[0])
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def _log(self, event: str, **facts: object) -> None:
        if self._loop.time() - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = self._loop.time()
            _log.warning(event, **facts)
