"""A reader of server-sent events that reads when the test says so, as the standard reads them (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.daemon.http.wire import DEADLINE_S, AnswerReader, request


class Message(NamedTuple):
    """One dispatched message; `event` is "" for those without a name."""

    id: int
    event: str
    data: str


class Follower:
    """An open stream. `raw` is everything that has been read of it, `comments` the comments in it."""

    def __init__(self, connection: socket.socket, target: str, headers: Mapping[str, str]) -> None:
        self.connection = connection
        connection.sendall(request("GET", target, {"Accept": "text/event-stream", **headers}))
        reader = AnswerReader(connection)
        self.status, self.headers = reader.read_head()
        self.raw = b""
        self.comments: list[str] = []
        self.last_event_id = ""
        self._chunks = reader.chunks()
        self._fields: dict[str, str] = {}
        self._partial = b""
        self._messages = self._read()

    def __iter__(self) -> Iterator[Message]:
        return self._messages

    def read_until(self, event_id: int) -> list[Message]:
        """The messages that come next, up to an event."""
        messages = []
        for message in self._messages:
            messages.append(message)
            if message.id >= event_id:
                break
        return messages

    def read_comment(self) -> str:
        """The next comment, with no message before it."""
        while not self.comments:
            self._read_chunk()
        return self.comments.pop(0)

    def rest(self) -> list[Message]:
        """The messages until the daemon ends the stream, properly."""
        return list(self._messages)

    def reset(self) -> None:
        """Vanish with a RST, as a killed machine's kernel answers."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _read(self) -> Iterator[Message]:
        while True:
            lines = self._read_chunk()
            if lines is None:
                return
            yield from lines

    def _read_chunk(self) -> list[Message] | None:
        chunk = next(self._chunks, None)
        if chunk is None:
            return None
        self.raw += chunk
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        return [message for line in lines if (message := self._take(line.decode())) is not None]

    def _take(self, line: str) -> Message | None:
        if line.startswith(":"):
            self.comments.append(line[1:].strip())
            return None
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            self.last_event_id = self._fields.get("id", self.last_event_id)
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return Message(int(self.last_event_id), fields.get("event", ""), fields["data"])


@contextmanager
def following(
    port: int, target: str = "/stream", headers: Mapping[str, str] | None = None, *, receive_buffer: int | None = None
) -> Iterator[Follower]:
    """A stream that the daemon has begun to answer. A small `receive_buffer` makes a reader slow the sooner."""
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(DEADLINE_S)
        connection.connect(("127.0.0.1", port))
        yield Follower(connection, target, headers or {})


def ids(messages: list[Message]) -> list[int]:
    """Their ids."""
    return [message.id for message in messages]


def event_of(message: Message) -> Any:
    """The event that a message carries."""
    return json.loads(message.data)
