"""A subscriber over a plain socket, which sees whether its stream ended as HTTP says it must."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

from tests.daemon_process import DEADLINE_S


class StreamReader(threading.Thread):
    """Reads /stream from the first event to the end of the connection."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._socket.sendall(b"GET /stream HTTP/1.1\r\nHost: daemon\r\nLast-Event-ID: 0\r\n\r\n")
        self.received = b""
        self.ended = threading.Event()

    def run(self) -> None:
        with closing(self._socket):
            while data := self._socket.recv(65_536):
                self.received += data
        self.ended.set()

    def body(self) -> bytes:
        """The decoded body; AssertionError unless its last chunk came."""
        _, _, rest = self.received.partition(b"\r\n\r\n")
        body = b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if int(size, 16) == 0:
                assert rest == b"\r\n"
                return body
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]

    def event_ids(self) -> list[int]:
        return [int(line[4:]) for line in self.body().splitlines() if line.startswith(b"id: ")]
