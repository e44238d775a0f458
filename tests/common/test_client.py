"""The client against a transport that plays the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from audit_stream.chain import Head
from audit_stream.client import Client, Live, Lost, OtherHistory, Selection, Served, Tailed, base_url
from audit_stream.errors import ClientError

T = TypeVar("T")

URL = "http://daemon.test:8093"
NDJSON = {"Content-Type": "application/x-ndjson"}


def run(client: Client, job: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        async with client:
            return await job(client)

    return asyncio.run(main())


def client_of(handler: Callable[[httpx.Request], httpx.Response], waits: list[float] | None = None) -> Client:
    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return Client(URL, transport=httpx.MockTransport(handler), sleep=sleep, jitter=lambda: 1.0)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8093", "http://127.0.0.1:8093"),
        ("http://127.0.0.1:8093/", "http://127.0.0.1:8093"),
        ("http://127.0.0.1:8093/events", "http://127.0.0.1:8093"),
        ("https://gateway.test/audit/events/", "https://gateway.test/audit"),
        ("127.0.0.1:8093", "http://127.0.0.1:8093"),
        ("localhost", "http://localhost"),
        ("http://[::1]:8093", "http://[::1]:8093"),
    ],
)
def test_an_address_is_taken_as_people_and_producers_write_it(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "ftp://host", "http://", "http://host:port", "http://host?x=1", "http://a b:1/\n", "http://\udcff"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ClientError, match="is no address of a daemon"):
        base_url(text)


def test_a_daemon_that_is_not_there_is_said_in_one_line() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed")

    with pytest.raises(ClientError, match=r"^no daemon answers at http://daemon\.test:8093: start one") as caught:
        run(client_of(refuse), lambda client: client.stats())
    assert caught.value.status is None


@pytest.mark.parametrize(
    ("behind", "cause"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (ExceptionGroup("", [ConnectionRefusedError(111, "Connection refused")]), "connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "name not known"),
        (TimeoutError(), "timed out"),
        (OSError(113, "No route to host"), "no route to host"),
    ],
)
def test_why_no_daemon_answers_is_said(behind: Exception, cause: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed") from behind

    with pytest.raises(ClientError, match=rf"^no daemon answers at .* \({cause}\)$"):
        run(client_of(refuse), lambda client: client.stats())


def test_a_daemon_that_takes_too_long_to_connect_is_said_to_be_away() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("")

    with pytest.raises(ClientError, match=r"^no daemon answers at .* \(timed out\)$"):
        run(client_of(refuse), lambda client: client.stats())


def test_nothing_found_under_an_address_with_a_path_is_a_mistaken_address() -> None:
    client = Client(f"{URL}/stats", transport=httpx.MockTransport(lambda request: httpx.Response(404)))
    with pytest.raises(ClientError, match="give the daemon's address without a path") as caught:
        run(client, lambda client: client.stats())
    assert caught.value.status == 404


def test_the_detail_of_a_problem_becomes_the_error() -> None:
    problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "limit must be in 1..100000"}

    with pytest.raises(ClientError, match=r"^limit must be in") as caught:
        run(client_of(lambda _: httpx.Response(400, json=problem)), lambda client: client.get("/events?limit=0"))
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"count":"many"}', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_not_the_daemons_is_a_client_error(body: bytes) -> None:
    with pytest.raises(ClientError, match="not what it should be"):
        run(client_of(lambda _: httpx.Response(200, content=body)), lambda client: client.stats())


def test_an_event_that_does_not_exist_is_none() -> None:
    answer = httpx.Response(404, json={"detail": "unknown event_id: 7"})

    assert run(client_of(lambda _: answer), lambda client: client.event(7)) is None


def test_a_retried_append_keeps_its_key_and_waits_as_long_as_the_daemon_asks() -> None:
    keys: list[str] = []
    waits: list[float] = []

    def busy_twice(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            return httpx.Response(503, headers={"Retry-After": "2"}, json={"detail": "busy"})
        if len(keys) == 2:
            raise httpx.ReadError("connection reset")
        return httpx.Response(200, content=served(1).raw)

    appended = run(client_of(busy_twice, waits), lambda client: client.append({"kind": "other"}, retry_for_s=60))

    assert appended.replayed
    assert appended.event.decode().event_id == 1
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert waits == [2.0, 0.5]


def test_an_append_is_not_tried_again_longer_than_wished() -> None:
    requests: list[httpx.Request] = []

    def busy(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(503, headers={"Retry-After": "2"}, json={"detail": "busy: the write queue is full"})

    with pytest.raises(ClientError, match="the write queue is full"):
        run(client_of(busy), lambda client: client.append({"kind": "other"}, retry_for_s=1))
    assert len(requests) == 1


def test_a_refused_event_is_never_tried_again() -> None:
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(422, json={"detail": "kind: is empty"})

    with pytest.raises(ClientError, match="kind: is empty"):
        run(client_of(refuse), lambda client: client.append({}, retry_for_s=60))
    assert len(requests) == 1


def test_a_key_that_no_daemon_takes_is_refused_here() -> None:
    requests: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(201)

    with pytest.raises(ClientError, match="Idempotency-Key: use 1 to 255") as caught:
        run(client_of(note), lambda client: client.append({}, idempotency_key="two words"))
    assert caught.value.status is None
    assert not requests


def test_a_verdict_of_0_1_0_says_less_and_is_passed_on_as_it_is() -> None:
    body = b'{"valid":false,"checked":2,"first_break_at":3,"reason":"hash mismatch at event #3"}'

    verdict = run(client_of(lambda _: httpx.Response(200, content=body)), lambda client: client.verify())

    assert (verdict.first_break_at, verdict.head, verdict.duration_ms) == (3, None, None)
    assert msgspec.json.encode(verdict) == body


def test_pages_are_followed_by_their_links_under_the_address_that_was_given() -> None:
    requests: list[httpx.URL] = []

    def page(request: httpx.Request) -> httpx.Response:
        requests.append(request.url)
        if request.url.params["since_id"] == "0":
            link = '</events?kind=other&limit=10000&since_id=2>; rel="next"'
            return httpx.Response(200, headers=NDJSON | {"Link": link}, content=lines(1, 2))
        return httpx.Response(200, headers=NDJSON, content=lines(3))

    async def read(client: Client) -> list[int]:
        return [event.decode().event_id async for event in client.events(Selection(kinds=("other",)), since_id=0)]

    client = Client("https://gateway.test/audit/", transport=httpx.MockTransport(page))
    assert run(client, read) == [1, 2, 3]
    assert [url.path for url in requests] == ["/audit/events", "/audit/events"]
    assert requests[1].params["kind"] == "other"


def test_the_most_recent_events_are_one_page() -> None:
    link = '</events?limit=2&before_id=1>; rel="next"'
    answer = httpx.Response(200, headers=NDJSON | {"Link": link}, content=lines(1, 2))

    async def read(client: Client) -> list[int]:
        return [event.decode().event_id async for event in client.events(limit=2)]

    assert run(client_of(lambda _: answer), read) == [1, 2]


def test_an_answer_of_0_1_0_is_not_taken_for_the_events_that_were_asked_for() -> None:
    async def read(client: Client) -> list[Served]:
        return [event async for event in client.events(since_id=7)]

    with pytest.raises(ClientError, match=r"is no audit-stream of 0\.2 or later"):
        run(client_of(lambda _: httpx.Response(200, json=[])), read)


def test_an_answer_that_breaks_off_within_an_event_is_an_error() -> None:
    async def read(client: Client) -> list[Served]:
        return [event async for event in client.events()]

    with pytest.raises(ClientError, match="ends within an event"):
        run(client_of(lambda _: httpx.Response(200, headers=NDJSON, content=lines(1) + b'{"event_id":2,')), read)


def test_a_tail_that_breaks_goes_on_after_the_last_event_without_gap_or_repeat() -> None:
    daemon = FakeDaemon(head=2, streams=[[message(3), b": keep-alive\n", message(4)[:-20]], [message(4), message(5)]])

    items = daemon.tail(until=Served, count=3)

    assert ids(items) == [3, 4, 5]
    assert notices(items) == [
        Live(after_id=2),
        Lost(reason="the daemon ended the stream", retry_in_s=0.25),
        Live(after_id=3),
    ]
    assert daemon.cursors == ["2", "3"]


def test_a_tail_backs_off_exponentially_until_the_daemon_is_back() -> None:
    daemon = FakeDaemon(head=0, streams=[None, None, None, None, None, None, None, None, [message(1)]])

    items = daemon.tail(until=Served, count=1, since_id=0)

    assert daemon.waits == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert next(item.reason for item in items if isinstance(item, Lost)).startswith("no daemon answers at")
    assert ids(items) == [1]


def test_a_silent_stream_is_taken_for_dead() -> None:
    daemon = FakeDaemon(head=0, streams=[httpx.ReadTimeout("45 s"), [message(1)]])

    items = daemon.tail(until=Served, count=1)

    assert Lost(reason=f"the daemon at {URL} is silent", retry_in_s=0.25) in items
    assert ids(items) == [1]
    assert daemon.read_timeouts == [45.0, 45.0]


def test_a_log_that_became_shorter_is_another_history() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)], [message(3)]])
    daemon.head_of_stream[1] = 2

    items = daemon.tail(until=Served, count=2)

    assert OtherHistory(seen=Head(6, hash_of(6)), head=Head(2, hash_of(2))) in items
    assert ids(items) == [6, 3]
    assert daemon.cursors == ["5", "2"]


def test_a_log_that_was_rewritten_is_another_history() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)], [message(8)]])
    daemon.head_of_stream[1] = 7
    daemon.rewritten_from_stream = 1

    items = daemon.tail(until=Served, count=2)

    assert OtherHistory(seen=Head(6, hash_of(6)), head=Head(7, hash_of(7))) in items
    assert daemon.cursors == ["5", "6"]


def test_a_cursor_beyond_the_log_is_another_history() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)]])

    items = daemon.tail(until=Served, count=1, since_id=9)

    assert items[0] == OtherHistory(seen=Head(9, ""), head=Head(5, hash_of(5)))
    assert ids(items) == [6]


def test_a_filter_that_the_daemon_refuses_ends_the_tail() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/stats":
            return httpx.Response(200, json={"count": 0, "last_event_id": 0, "latest_hash": None})
        return httpx.Response(400, json={"detail": "q, at position 0: 'foo' is no field"})

    async def read(client: Client) -> list[Tailed]:
        return [item async for item in client.tail(Selection(q="foo:bar"))]

    with pytest.raises(ClientError, match="is no field"):
        run(client_of(refuse), read)


class FakeDaemon:
    """Answers a tail: each stream is what one connection yields, None where nobody answers."""

    def __init__(self, *, head: int, streams: list[list[bytes] | Exception | None]) -> None:
        self.streams = streams
        self.head_of_stream = {0: head}
        self.rewritten_from_stream: int | None = None
        self.opened = 0
        self.cursors: list[str] = []
        self.read_timeouts: list[float] = []
        self.waits: list[float] = []

    def tail(self, *, until: type, count: int, since_id: int | None = None) -> list[Tailed]:
        async def read(client: Client) -> list[Tailed]:
            items: list[Tailed] = []
            async with contextlib.aclosing(client.tail(since_id=since_id)) as tail:
                async for item in tail:
                    items.append(item)
                    if sum(isinstance(item, until) for item in items) == count:
                        return items
            raise AssertionError("a tail never ends")

        return run(client_of(self.answer, self.waits), read)

    def answer(self, request: httpx.Request) -> httpx.Response:
        head = self.head_of_stream.get(self.opened, 10**6)
        if request.url.path == "/stats":
            return httpx.Response(
                200, json={"count": head, "last_event_id": head, "latest_hash": hash_of(head) if head else None}
            )
        if request.url.path.startswith("/events/"):
            return self.event(int(request.url.path.rpartition("/")[2]), head)
        assert request.url.path == "/stream"
        stream = self.streams[self.opened]
        self.opened += 1
        if stream is None:
            raise httpx.ConnectError("refused")
        self.cursors.append(request.headers["last-event-id"])
        self.read_timeouts.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=chunks(stream))

    def event(self, event_id: int, head: int) -> httpx.Response:
        if event_id > head:
            return httpx.Response(404, json={"detail": "unknown event_id"})
        if self.rewritten_from_stream is not None and self.opened >= self.rewritten_from_stream:
            return httpx.Response(200, content=served(event_id, hash_="f" * 64).raw)
        return httpx.Response(200, content=served(event_id).raw)


async def chunks(stream: list[bytes] | Exception) -> AsyncIterator[bytes]:
    if isinstance(stream, Exception):
        raise stream
    yield b": from event 0\n"
    for chunk in stream:
        yield chunk


def hash_of(event_id: int) -> str:
    return f"{event_id:064x}"


def served(event_id: int, *, hash_: str | None = None) -> Served:
    fields = {
        "event_id": event_id,
        "kind": "other",
        "payload": {},
        "prev_hash": hash_of(event_id - 1),
        "source": "test",
        "timestamp": "2026-05-15T03:14:15.000+00:00",
        "hash": hash_ or hash_of(event_id),
    }
    return Served(json.dumps(fields, separators=(",", ":")).encode())


def message(event_id: int) -> bytes:
    return b"event: other\nid: %d\ndata: %b\n\n" % (event_id, served(event_id).raw)


def lines(*event_ids: int) -> bytes:
    return b"".join(served(event_id).raw + b"\n" for event_id in event_ids)


def ids(items: list[Tailed]) -> list[int]:
    return [item.decode().event_id for item in items if isinstance(item, Served)]


def notices(items: list[Tailed]) -> list[Tailed]:
    return [item for item in items if not isinstance(item, Served)]


class Endless(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536


def endless(media_type: str) -> httpx.AsyncBaseTransport:
    return httpx.MockTransport(
        lambda request: httpx.Response(200, headers={"content-type": media_type}, stream=Endless())
    )


def test_an_endless_answer_is_refused_before_it_fills_memory() -> None:
    async def ask() -> None:
        async with Client(transport=endless("application/json")) as client:
            with pytest.raises(ClientError, match="answer of more than"):
                await client.stats()

    asyncio.run(ask())


@pytest.mark.parametrize("line", [b"data: x\n", b"data: x\r\n", b": x\n"])
def test_a_message_without_an_end_is_refused_before_it_fills_memory(line: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield line * 1000

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    async def main() -> None:
        async with Client(transport=httpx.MockTransport(answer)) as client:
            with pytest.raises(ClientError, match="message of more than"):
                async with client.stream(Selection(), 0) as served:
                    await anext(served)

    asyncio.run(main())


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk_bytes", [1000, 1001, 100_000])
def test_many_short_messages_are_no_endless_one(newline: str, chunk_bytes: int) -> None:
    text = f"data: {'x' * 985}{newline}{newline}".encode() * 2000

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(text), chunk_bytes):
            yield text[start : start + chunk_bytes]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    async def main() -> None:
        async with Client(transport=httpx.MockTransport(answer)) as client, client.stream(Selection(), 0) as served:
            assert [len(message.raw) async for message in served] == [985] * 2000

    asyncio.run(main())


def test_an_endless_line_ends_a_page_and_a_stream() -> None:
    async def ask() -> None:
        async with Client(transport=endless("application/x-ndjson")) as client:
            with pytest.raises(ClientError, match="line of more than"):
                [event async for event in client.events(limit=1)]
        async with Client(transport=endless("text/event-stream")) as client:
            with pytest.raises(ClientError, match="line of more than"):
                async with client.stream(Selection(), 0) as served:
                    [event async for event in served]

    asyncio.run(ask())
