"""HTTP over a plain socket: requests that an HTTP library is too polite to send, streams that are read at will."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

DEADLINE_S = 20.0


class Answer:
    """One HTTP answer as it came: `headers` by lower-case name, `body` without its transfer coding."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@contextmanager
def connected(port: int, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A socket to the daemon with a deadline on everything that it does."""
    with socket.create_connection((host, port), timeout=DEADLINE_S) as connection:
        yield connection


def request(
    method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, version: str = "1.1"
) -> bytes:
    """The bytes of a request; with a body, its length is declared unless `headers` say how it is framed."""
    fields = {"Host": "daemon", **(headers or {})}
    framed = {name.lower() for name in fields} & {"content-length", "transfer-encoding"}
    if body and not framed:
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/{version}\r\n{lines}\r\n".encode("latin-1") + body


def exchange(port: int, data: bytes, *, method: str = "GET", host: str = "127.0.0.1") -> Answer:
    """Send bytes as they are and read one answer; `method` says whether that answer can have a body."""
    with connected(port, host) as connection:
        with contextlib.suppress(ConnectionError):  # refused before it was sent whole: the answer is there to read
            connection.sendall(data)
        return read_answer(connection, method=method)


def read_answer(connection: socket.socket, *, method: str = "GET") -> Answer:
    """The next answer on a connection. AssertionError when it ends before its head does."""
    return AnswerReader(connection).read(method=method)


class AnswerReader:
    """Reads answer after answer from one connection, and the chunks of one that never ends."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._pending = b""

    def read(self, *, method: str = "GET") -> Answer:
        """One whole answer, without those that come before it (1xx)."""
        status, headers = self.read_head()
        while 100 <= status < 200:
            status, headers = self.read_head()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(self.chunks()))
        if "content-length" in headers:
            return Answer(status, headers, self._exactly(int(headers["content-length"])))
        return Answer(status, headers, self._rest())

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers; the body stays unread."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(status_line.split(" ")[1]), headers

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a chunked body, as they come."""
        while True:
            size = int(self._until(b"\r\n"), 16)
            chunk = self._exactly(size)
            assert self._exactly(2) == b"\r\n"
            if not size:
                return
            yield chunk

    def at_end(self) -> bool:
        """Whether the daemon has closed the connection, with nothing more to read."""
        return not self._pending and not self._receive()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._pending:
            data = self._receive()
            assert data, f"the connection ended after {self._pending!r}"
            self._pending += data
        found, _, self._pending = self._pending.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        parts = [self._pending]
        missing = size - len(self._pending)
        while missing > 0:
            data = self._receive()
            assert data, f"the connection ended {missing} bytes too early"
            parts.append(data)
            missing -= len(data)
        whole = b"".join(parts)
        self._pending = whole[size:]
        return whole[:size]

    def _rest(self) -> bytes:
        parts = [self._pending]
        self._pending = b""
        while data := self._receive():
            parts.append(data)
        return b"".join(parts)

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(1 << 18)
        except ConnectionResetError:
            return b""
