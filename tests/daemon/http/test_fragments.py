"""Whatever a peer sends, cut wherever: each whole request is answered in its turn, and little is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from audit_daemon.http.connection import MAX_AHEAD_BYTES, MAX_HEAD_BYTES, GuardedProtocol

MOST_BYTES = MAX_HEAD_BYTES + 2 * MAX_AHEAD_BYTES + (256 << 10)  # and what one read brings


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path and a checksum of the body, after a while."""
    body = b""
    while scope["method"] == "POST":
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    for _ in range(int(scope["query_string"] or 0)):
        await asyncio.sleep(0)
    content = answer_to(scope["path"], body)
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def answer_to(path: str, body: bytes) -> bytes:
    return b"%b %d %d" % (path.encode(), len(body), zlib.crc32(body))


CONFIG = uvicorn.Config(app, log_config=None, proxy_headers=False)


class Wire:
    """A transport that keeps what is written and calls back as the loop's own does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.written = b""
        self.closed = False
        self.reading = True
        self.protocol: GuardedProtocol | None = None

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            assert self.protocol is not None
            self.loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, _: str) -> None:
        """Nothing is known of the peer."""


async def converse(fragments: list[tuple[bytes, int]], *, half_close: bool) -> bytes:
    """All that is answered to these fragments, each of which may be followed by some turns of the loop."""
    loop = asyncio.get_running_loop()
    failures: list[Any] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    state = ServerState()
    protocol = GuardedProtocol(config=CONFIG, server_state=state, app_state={}, _loop=loop)
    wire = Wire(loop)
    wire.protocol = protocol
    protocol.connection_made(wire)  # type: ignore[arg-type]  # as much of a transport as is used
    for fragment, turns in fragments:
        await turn(lambda: wire.reading or wire.closed)
        if wire.closed:
            break
        protocol.data_received(fragment)
        assert protocol.buffered_bytes <= MOST_BYTES
        assert not protocol.pipeline  # requests wait as bytes
        for _ in range(turns):
            await asyncio.sleep(0)
    if half_close and not wire.closed:
        await turn(lambda: wire.reading or wire.closed)
        protocol.eof_received()
        await turn(lambda: wire.closed)
    else:
        await quiet(lambda: (len(wire.written), protocol.buffered_bytes, len(state.tasks)))
        wire.close()
    await turn(lambda: not state.tasks)
    for _ in range(3):
        await asyncio.sleep(0)
    assert failures == []
    return wire.written


async def quiet(progress: Callable[[], object]) -> None:
    """Until nothing has happened for longer than any answer takes."""
    unchanged, before = 0, progress()
    while unchanged < 20:
        await asyncio.sleep(0)
        unchanged = unchanged + 1 if progress() == before else 0
        before = progress()


async def turn(until: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come to an end")


def chunked(body: bytes, size: int, extension: bytes, trailer: bytes) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    lines = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return lines + b"0\r\n" + trailer + b"\r\n"


bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\r\n\r\n" * 50, b"x" * 100_000, b"GET / HTTP/1.1\r\n\r\n" * 9, b"0\r\n\r\n"]),
)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A request's bytes and what it is answered."""
    path = draw(st.sampled_from(["/", "/a", "/events"]))
    target = f"{path}?{draw(st.integers(0, 5))}".encode()
    blank = draw(st.sampled_from([b"", b"", b"\r\n"]))
    method = draw(st.sampled_from([b"GET", b"POST", b"DELETE"]))
    body = draw(bodies)
    read = body if method == b"POST" else b""
    form = draw(st.sampled_from(["none", "length", "chunks", "offer"]))
    if form == "none":
        return blank + b"%b %b HTTP/1.1\r\nHost: d\r\n\r\n" % (method, target), answer_to(path, b"")
    if form == "chunks":
        framed = chunked(
            body,
            draw(st.integers(5, 9000)),
            draw(st.sampled_from([b"", b";a=b"])),
            draw(st.sampled_from([b"", b"X: y\r\n", b"X: y\r\nZ: w\r\n"])),
        )
        head = b"%b %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % (method, target)
        return blank + head + framed, answer_to(path, read)
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n" if form == "offer" else b""
    head = b"%b %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (method, target, offer, len(body))
    return blank + head + body, answer_to(path, read)


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[tuple[bytes, int]]:
    """The same bytes in fragments, with turns of the loop between them."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    ends = [*places, len(data)]
    pieces = [data[start:end] for start, end in zip([0, *places], ends, strict=True)]
    limited = [piece[at : at + (256 << 10)] for piece in pieces for at in range(0, len(piece), 256 << 10)]
    return [(piece, draw(st.integers(0, 3))) for piece in limited]


def contents(written: bytes) -> list[bytes]:
    """The bodies of the answers."""
    found = []
    while written:
        head, _, written = written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(written[:length])
        written = written[length:]
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_whole_request_is_answered_in_its_turn_however_the_bytes_are_cut(data: st.DataObject) -> None:
    wanted = data.draw(st.lists(messages(), max_size=8))
    half = data.draw(st.sampled_from([b"", b"\r\n", b"GET", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"]))
    fragments = data.draw(cut(b"".join(sent for sent, _ in wanted) + half))
    written = asyncio.run(converse(fragments, half_close=data.draw(st.booleans())))
    assert contents(written) == [answer for _, answer in wanted]


odd = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b"0\r\n\r\n", b"1\r\n", b"fffffffffffffffff\r\n", b"GET / HTTP/1.1\r\n", b"X: y\r\n"]
    ),
    st.sampled_from([b"a" * 70_000, b"\r\n" * 40_000, b"X: y\r\n" * 30_000, b"1\r\nx\r\n" * 20_000, b"\x00" * 300]),
    st.sampled_from(
        [b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 9999999\r\n\r\n", b"POST / HTTP/1.1\r\n"]
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_that_is_sent_is_kept_without_limit_or_makes_the_connection_fail(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.one_of(odd, messages().map(lambda message: message[0])), max_size=12))
    fragments = data.draw(cut(b"".join(parts)))
    asyncio.run(converse(fragments, half_close=data.draw(st.booleans())))


@pytest.mark.parametrize(
    "behind", [b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * (32 << 20)], ids=["nothing", "a request", "all that fits"]
)
def test_a_search_is_told_that_its_reader_has_gone(behind: bytes) -> None:
    asyncio.run(_hang_up_on_a_search(behind, half_close=False))


def test_a_search_goes_on_for_a_reader_that_has_only_closed_its_sending_side() -> None:
    """Until it has gone too."""
    asyncio.run(_hang_up_on_a_search(b"", half_close=True))


async def _hang_up_on_a_search(behind: bytes, *, half_close: bool) -> None:
    loop = asyncio.get_running_loop()
    searching, gone = asyncio.Event(), asyncio.Event()

    async def search(scope: Any, receive: Any, send: Any) -> None:
        searching.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    config = uvicorn.Config(search, log_config=None, proxy_headers=False)
    state = ServerState()
    server = await loop.create_server(
        lambda: GuardedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with asyncio.timeout(20), server:
        with socket.create_connection(server.sockets[0].getsockname()) as peer:
            peer.setblocking(False)
            peer.send(b"GET /?q=word HTTP/1.1\r\n\r\n")
            await searching.wait()
            if half_close:
                peer.shutdown(socket.SHUT_WR)
                assert await loop.sock_recv(peer, 100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                assert not gone.is_set()
            with contextlib.suppress(BlockingIOError):
                while behind:
                    behind = behind[peer.send(behind) :]
        await gone.wait()
