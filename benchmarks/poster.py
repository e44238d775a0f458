"""Open-loop POSTs at a fixed rate, with latencies that a stalled server cannot hide.

Every request has a due time, fixed in advance. Its latency counts from then, also when it had to wait for a free
connection because the server had stopped answering: what a producer with that rate would have seen.
"""

import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

CONNECTIONS = 32
RECV_BYTES = 65_536
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
EVENT_ID = re.compile(rb'"event_id":\s*(\d+)')


class PostError(Exception):
    """An answer other than 201, or one that is not framed by Content-Length."""


class Post(msgspec.Struct, kw_only=True):
    """One POST; times are `time.monotonic()`, and the last two are empty until it is answered."""

    due: float
    event_id: int | None = None
    answered: float | None = None

    def latency_s(self, now: float) -> float:
        """From due to answered; for a POST still unanswered `now`, at least so long."""
        return (self.answered or now) - self.due


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.post: Post | None = None
        self._received = b""

    def send(self, post: Post, request: bytes) -> None:
        self.post = post
        self._received = b""
        self.socket.sendall(request)  # one small request fits in the socket's buffer even if the server is stuck

    def receive(self) -> bytes | None:
        """The whole answer, or None while part of it is missing."""
        data = self.socket.recv(RECV_BYTES)
        if not data:
            raise PostError("connection closed by the server")
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        length = CONTENT_LENGTH.search(self._received, 0, head_end + 2)
        if length is None:
            raise PostError("answer without Content-Length")
        return self._received if len(self._received) >= head_end + 4 + int(length[1]) else None


def post_at_rate(
    port: int,
    bodies: Sequence[bytes],
    *,
    per_second: float,
    count: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
    patience_s: float = 60.0,
    connections: int = CONNECTIONS,
) -> list[Post]:
    """POST the bodies in turn until `count` were due or `go_on()` is false, then wait so long for missing answers."""
    requests = [_request(body) for body in bodies]
    posts: list[Post] = []
    waiting: deque[int] = deque()
    with selectors.SelectSelector() as selector:  # select's timeout is in microseconds; epoll's rounds up to 1 ms
        idle = [_Connection(port) for _ in range(connections)]
        everyone = list(idle)
        for connection in idle:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        began = time.monotonic()
        ended: float | None = None
        try:
            while True:
                now = time.monotonic()
                if ended is None and ((count is not None and len(posts) >= count) or not go_on()):
                    ended = now
                while ended is None and len(posts) != count and (due := began + len(posts) / per_second) <= now:
                    waiting.append(len(posts))
                    posts.append(Post(due=due))
                while waiting and idle:
                    number = waiting.popleft()
                    idle.pop().send(posts[number], requests[number % len(requests)])
                if ended is not None and ((not waiting and len(idle) == connections) or now > ended + patience_s):
                    return posts
                next_due = began + len(posts) / per_second
                timeout = max(0.0, next_due - time.monotonic()) if ended is None else 0.1
                for key, _ in selector.select(timeout):
                    _finish(key.data, idle)
        finally:
            for connection in everyone:
                connection.socket.close()


def _request(body: bytes) -> bytes:
    head = "POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _finish(connection: _Connection, idle: list[_Connection]) -> None:
    answer = connection.receive()
    if answer is None or connection.post is None:
        return
    connection.post.answered = time.monotonic()
    event_id = EVENT_ID.search(answer)
    if not answer.startswith(b"HTTP/1.1 201") or event_id is None:
        raise PostError(answer[:500].decode(errors="replace"))
    connection.post.event_id = int(event_id[1])
    connection.post = None
    idle.append(connection)
