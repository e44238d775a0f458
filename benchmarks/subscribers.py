"""Many SSE subscribers in one cheap process: `python -m benchmarks.subscribers --port N --count N --output FILE`.

Five hundred subscribers at a thousand events a second are half a million messages a second: parsing each would measure
the client. So one epoll loop takes the time once a read, looks for the first and last `id:` line among the complete
messages of that read and counts the ones between; where the count does not fit the ids, it reads every id. What it saw
goes to a file as (connection, first id, last id, time) and is judged after the measurement.

It prints `connected` once every stream has begun and `ready` once every subscriber has received something, and obeys
lines on stdin: `stall` (stop reading), `go` (read on) and `until ID DEADLINE` (end when every subscriber has that
event, or at that monotonic time). At the end it prints the seconds of CPU that it used since `ready`.
"""

import argparse
import os
import re
import select
import socket
import time
from array import array
from pathlib import Path

RECV_BYTES = 262_144
ID_LINE = re.compile(rb"\nid: (\d+)\r?\n")
SMALL_RCVBUF = 65_536  # for subscribers that will stall: the kernel must not hold what the server should


class Subscriber:
    """One stream: its socket, the highest id seen and the bytes of a message that is still incomplete."""

    def __init__(self, port: int, *, small_buffer: bool) -> None:
        self.socket = socket.socket()
        if small_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RCVBUF)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        self.last_id = 0
        self.began = False
        self.rest = b""


class Seen:
    """Everything received, in columns: connection, first and last id of a run without gaps, time of the read."""

    def __init__(self) -> None:
        self.connections, self.firsts, self.lasts, self.times = array("q"), array("q"), array("q"), array("d")

    def add(self, connection: int, first: int, last: int, at: float) -> None:
        """Record one run."""
        self.connections.append(connection)
        self.firsts.append(first)
        self.lasts.append(last)
        self.times.append(at)

    def write(self, path: Path) -> None:
        """Save the columns one after the other."""
        with path.open("wb") as file:
            for column in (self.connections, self.firsts, self.lasts, self.times):
                column.tofile(file)

    @classmethod
    def read(cls, path: Path) -> "Seen":
        """Load what `write` saved."""
        seen = cls()
        rows = path.stat().st_size // 32
        with path.open("rb") as file:
            for column in (seen.connections, seen.firsts, seen.lasts, seen.times):
                column.fromfile(file, rows)
        return seen


class Reader:
    """The epoll loop over all subscribers and stdin."""

    def __init__(self, port: int, count: int, *, small_buffers: bool) -> None:
        self.seen = Seen()
        self._subscribers = [Subscriber(port, small_buffer=small_buffers) for _ in range(count)]
        self._by_descriptor = {item.socket.fileno(): (number, item) for number, item in enumerate(self._subscribers)}
        self._buffer = bytearray(RECV_BYTES * 2)
        self._view = memoryview(self._buffer)
        self._epoll = select.epoll()
        self._commands = select.poll()
        self._commands.register(0, select.POLLIN)
        self._stalled = False
        self._end: tuple[int, float] | None = None
        for descriptor in self._by_descriptor:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._epoll.register(0, select.EPOLLIN)

    def run(self) -> float:
        """Read until the end that `until` names; the CPU seconds used since `ready`."""
        announced = {"connected": False, "ready": False}
        cpu_began = 0.0
        while not self._is_over():
            self._step()
            if not announced["connected"] and all(item.began for item in self._subscribers):
                announced["connected"] = True
                print("connected", flush=True)
            if announced["connected"] and not announced["ready"] and all(item.last_id for item in self._subscribers):
                announced["ready"] = True
                cpu_began = time.process_time()
                print("ready", flush=True)
        return time.process_time() - cpu_began

    def _step(self) -> None:
        if self._stalled:
            self._commands.poll()
            self._obey()
            return
        for descriptor, _ in self._epoll.poll(0.05):
            if descriptor == 0:
                self._obey()
                continue
            number, subscriber = self._by_descriptor[descriptor]
            self._receive(number, subscriber)

    def _obey(self) -> None:
        # os.read, because a buffered reader could hold back a line that epoll then does not announce.
        lines = os.read(0, 4096).decode().splitlines()
        if not lines:
            raise SystemExit("the bench has gone")
        for line in lines:
            match line.split():
                case ["stall"]:
                    self._stalled = True
                case ["go"]:
                    self._stalled = False
                case ["until", last_id, deadline]:
                    self._end = (int(last_id), float(deadline))

    def _is_over(self) -> bool:
        if self._end is None or self._stalled:
            return False
        last_id, deadline = self._end
        return time.monotonic() > deadline or all(item.last_id >= last_id for item in self._subscribers)

    def _receive(self, number: int, subscriber: Subscriber) -> None:
        kept = len(subscriber.rest)
        self._buffer[:kept] = subscriber.rest
        received = subscriber.socket.recv_into(self._view[kept : kept + RECV_BYTES])
        at = time.monotonic()
        if not received:  # the server has ended the stream
            self._epoll.unregister(subscriber.socket.fileno())
            return
        subscriber.began = True
        size = kept + received
        end = self._buffer.rfind(b"\n\n", 0, size)
        if end < 0:
            end = self._buffer.rfind(b"\n\r\n", 0, size)  # the peer ends lines with CR LF
        if end < 0:
            subscriber.rest = bytes(self._view[:size])
            return
        subscriber.rest = bytes(self._view[end + 1 : size])  # keeps a line break, so that every id line follows one
        self._record(number, subscriber, end + 1, at)

    def _record(self, number: int, subscriber: Subscriber, size: int, at: float) -> None:
        count = self._buffer.count(b"\nid: ", 0, size)
        if not count:
            return
        first = self._id_at(self._buffer.find(b"\nid: ", 0, size))
        last = self._id_at(self._buffer.rfind(b"\nid: ", 0, size))
        if last - first + 1 == count:
            self.seen.add(number, first, last, at)
        else:
            for match in ID_LINE.finditer(self._buffer, 0, size):
                self.seen.add(number, int(match[1]), int(match[1]), at)
        subscriber.last_id = max(subscriber.last_id, last)

    def _id_at(self, position: int) -> int:
        return int(self._buffer[position + 5 : self._buffer.find(b"\n", position + 5)])


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--small-buffers", action="store_true")
    options = parser.parse_args()
    reader = Reader(options.port, options.count, small_buffers=options.small_buffers)
    cpu_s = reader.run()
    reader.seen.write(options.output)
    print(cpu_s, flush=True)


if __name__ == "__main__":
    main()
