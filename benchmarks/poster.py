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
MAX_SENDINGS = 3
LAST_ANSWERS_POLL_S = 0.1
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
EVENT_ID = re.compile(rb'"event_id":\s*(\d+)')


class PostError(Exception):
    """An answer other than 201, one not framed by Content-Length, or none after several tries."""


class Post(msgspec.Struct, kw_only=True):
    """One POST; times are `time.monotonic()`, and the last two are empty until it is answered."""

    due: float
    request: bytes
    sendings: int = 0
    event_id: int | None = None
    answered: float | None = None

    def latency_s(self, now: float) -> float:
        """From due to answered; for a POST still unanswered `now`, at least so long."""
        return (self.answered or now) - self.due


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
    waiting: deque[Post] = deque()
    with _Pool(port, connections) as pool:
        began = time.monotonic()
        ended: float | None = None
        while True:
            now = time.monotonic()
            if ended is None and (len(posts) == count or not go_on()):
                ended = now
            while ended is None and len(posts) != count and began + len(posts) / per_second <= now:
                post = Post(due=began + len(posts) / per_second, request=requests[len(posts) % len(requests)])
                posts.append(post)
                waiting.append(post)
            while waiting and pool.idle:
                pool.send(waiting.popleft())
            if ended is not None and ((not waiting and pool.is_idle) or now > ended + patience_s):
                return posts
            next_due = began + len(posts) / per_second
            pool.receive(max(0.0, next_due - time.monotonic()) if ended is None else LAST_ANSWERS_POLL_S)


class _Connection:
    """One keep-alive connection with at most one POST under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.post: Post | None = None
        self._received = b""

    def send(self, post: Post) -> None:
        """Begin a POST; one small request fits in the socket's buffer even while the server is stuck."""
        self.post = post
        self._received = b""
        post.sendings += 1
        self.socket.sendall(post.request)

    def receive(self) -> bool:
        """Take what has arrived: True when it completes the answer. Raises ConnectionError at the stream's end."""
        data = self.socket.recv(RECV_BYTES)
        if not data:
            raise ConnectionError
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return False
        length = CONTENT_LENGTH.search(self._received, 0, head_end + 2)
        if length is None:
            raise PostError("answer without Content-Length")
        if len(self._received) < head_end + 4 + int(length[1]):
            return False
        self._finish(time.monotonic())
        return True

    def _finish(self, now: float) -> None:
        event_id = EVENT_ID.search(self._received)
        if self.post is None or not self._received.startswith(b"HTTP/1.1 201") or event_id is None:
            raise PostError(self._received[:500].decode(errors="replace"))
        self.post.answered = now
        self.post.event_id = int(event_id[1])
        self.post = None


class _Pool:
    """A fixed number of connections, used in turn so that none is idle for longer than the others.

    A server may close one that was idle for its taste, in the worst case just as a POST arrives there, as one that was
    stalled does: the connection is then opened anew and the POST sent again, its latency still counting from when it
    was due.
    """

    def __init__(self, port: int, size: int) -> None:
        self._port = port
        self._selector = selectors.SelectSelector()  # its timeout is in microseconds; epoll's rounds up to 1 ms
        self._size = size
        self.idle: deque[_Connection] = deque()
        for _ in range(size):
            self._open()

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    @property
    def is_idle(self) -> bool:
        """Whether no answer is missing."""
        return len(self.idle) == self._size

    def send(self, post: Post) -> None:
        """Begin a POST on the connection that was idle longest."""
        connection = self.idle.popleft()
        try:
            connection.send(post)
        except ConnectionError:
            self._replace(connection)

    def receive(self, timeout_s: float) -> None:
        """Wait so long for answers and take what is there."""
        for key, _ in self._selector.select(timeout_s):
            connection: _Connection = key.data
            try:
                if connection.receive():
                    self.idle.append(connection)
            except ConnectionError:
                self._replace(connection)

    def _open(self) -> None:
        connection = _Connection(self._port)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self.idle.append(connection)

    def _replace(self, closed: _Connection) -> None:
        self._selector.unregister(closed.socket)
        closed.socket.close()
        if closed in self.idle:
            self.idle.remove(closed)
        self._open()
        if closed.post is not None:
            if closed.post.sendings == MAX_SENDINGS:
                raise PostError(f"connection closed without an answer, {MAX_SENDINGS} times")
            self.send(closed.post)


def _request(body: bytes) -> bytes:
    head = "POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
