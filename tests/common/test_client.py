"""The client against a transport that plays the daemon."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import date
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from audit_stream.chain import Head
from audit_stream.client import Client, Live, Lost, OtherHistory, RawEvent, Selection, Tailed, base_url, shown_url
from audit_stream.client.messages import Reached
from audit_stream.errors import ClientError

T = TypeVar("T")

URL = "http://daemon.test:8093"
NDJSON = {"Content-Type": "application/x-ndjson"}


def run(client: Client, job: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        async with client:
            return await job(client)

    return asyncio.run(main())


def client_of(
    handler: Callable[[httpx.Request], httpx.Response],
    waits: list[float] | None = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> Client:
    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return Client(URL, transport=httpx.MockTransport(handler), sleep=sleep, jitter=lambda: 1.0, clock_s=clock_s)


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
    "text",
    [
        "",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host?x=1",
        "http://a b:1/\n",
        "http://\udcff",
        "../../etc/passwd",
        "./x",
        "http://a..b",
        "http://host:65536",
        "http://host:0",
        f"http://{'a' * 64}.test",
        f"http://{'a.' * 127}test",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ClientError, match="is no address of a daemon"):
        base_url(text)


@pytest.mark.parametrize("text", ["http://me:secret@host:99999", "me:secret@host:1/?x", "http://me:sec/ret@host"])
def test_a_refused_address_is_named_without_its_password(text: str) -> None:
    with pytest.raises(ClientError, match="is no address of a daemon") as caught:
        base_url(text)
    assert "sec" not in str(caught.value)
    assert "sec" not in shown_url(text)


def test_an_address_is_shown_with_all_but_name_and_password() -> None:
    assert shown_url("https://me:secret@gateway.test/~a@b") == "https://gateway.test/~a@b"


@pytest.mark.parametrize("given", ["http://me:s%40cret@daemon.test:8093/", "me:s%40cret@daemon.test:8093/events"])
def test_a_name_and_password_go_with_requests_and_are_not_shown(given: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Basic {base64.b64encode(b'me:s@cret').decode()}"
        assert request.url == f"{URL}/stats"
        return httpx.Response(403)

    client = Client(given, transport=httpx.MockTransport(refuse))
    assert client.url == shown_url(base_url(given)) == URL
    with pytest.raises(ClientError, match=f"^{URL}/stats answered 403 Forbidden$"):
        run(client, lambda client: client.stats())


@pytest.mark.parametrize(
    "error", [OverflowError("getsockaddrarg: port must be 0-65535."), httpx.InvalidURL("no"), UnicodeError("too long")]
)
def test_an_address_that_only_the_system_refuses_is_a_client_error(error: Exception) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ClientError, match="is no address that can be asked"):
        run(client_of(refuse), lambda client: client.stats())


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


STATS: dict[str, Any] = {"count": 1}
VERDICT: dict[str, Any] = {"valid": True, "checked": 1, "first_break_at": None, "reason": None}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"count": 10**30}, "count is no number from 0 to 9223372036854775807"),
        ({"count": -1}, "count is no number from 0 to 9223372036854775807"),
        ({"last_event_id": 2**63}, "last_event_id is no number"),
        ({"by_kind": {"other": 10**400}}, r"by_kind\[...\] is no number"),
        ({"by_source": {"a": -(10**400)}}, r"by_source\[...\] is no number"),
        ({"rates_per_second": {"1": 10**400}}, r"rates_per_second\[...\] is no number"),
        ({"rates_per_second": {"1": 1e300}}, r"rates_per_second\[...\] is no number from 0 to 1000000000000\.0"),
        ({"subscribers": 10**30}, "subscribers is no number"),
        ({"database_bytes": 10**30}, "database_bytes is no number"),
        ({"last_verdict": VERDICT | {"duration_ms": 10**18}}, "last_verdict.duration_ms is no number"),
    ],
)
def test_numbers_of_stats_that_cannot_be_are_a_client_error(fields: dict[str, Any], named: str) -> None:
    answer = httpx.Response(200, json=STATS | fields)
    with pytest.raises(ClientError, match=f"not what it should be: {named}"):
        run(client_of(lambda _: answer), lambda client: client.stats())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checked", 10**30),
        ("checked", -1),
        ("first_break_at", 10**30),
        ("duration_ms", 10**400),
        ("duration_ms", -1),
        ("head", {"event_id": 10**30, "hash": "0" * 64}),
    ],
)
def test_numbers_of_a_verdict_that_cannot_be_are_a_client_error(field: str, value: object) -> None:
    answer = httpx.Response(200, json=VERDICT | {field: value})
    with pytest.raises(ClientError, match=rf"{field}\S* is no number from 0 to "):
        run(client_of(lambda _: answer), lambda client: client.verify())


@pytest.mark.parametrize("event_id", [-1, 2**63, 10**30])
def test_an_event_with_an_id_that_cannot_be_is_a_client_error(event_id: int) -> None:
    raw = served(1).raw.replace(b'"event_id":1,', b'"event_id":%d,' % event_id)
    with pytest.raises(ClientError, match="event_id is no number from 0 to 9223372036854775807"):
        RawEvent(raw).decode()


@pytest.mark.parametrize("status", [200, 404, 503])
def test_an_answer_in_an_encoding_is_refused_before_it_is_inflated(status: int) -> None:
    seen: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("nothing of it is read")
        yield b""

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["accept-encoding"])
        headers = {"content-encoding": "identity, gzip", "content-type": "text/event-stream"}
        return httpx.Response(status, headers=headers, content=body())

    async def ask(client: Client) -> None:
        with pytest.raises(ClientError, match=f"^the answer of {URL} is encoded as gzip") as caught:
            await client.stats()
        assert caught.value.status == status
        with pytest.raises(ClientError, match="is encoded as gzip"):
            [event async for event in client.events()]
        with pytest.raises(ClientError, match="is encoded as gzip"):
            async with client.stream(Selection(), 0):
                pass

    run(client_of(answer), ask)
    assert seen == ["identity"] * 3


def test_a_stream_is_utf_8_whatever_charset_it_names() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        headers = {"content-type": "text/event-stream; charset=zlib"}
        return httpx.Response(200, headers=headers, content=chunks([message(1)]))

    async def read(client: Client) -> list[RawEvent | Reached]:
        async with client.stream(Selection(), 0) as events:
            return [event async for event in events]

    assert run(client_of(answer), read) == [served(1)]


@pytest.mark.parametrize("status", [422, 503])
@pytest.mark.parametrize("detail", ["[" * 100_000 + "]" * 100_000, "1" * 5_000, "{", '"\\ud800"'])
def test_an_error_whose_detail_cannot_be_read_is_a_client_error(status: int, detail: str) -> None:
    answer = httpx.Response(status, content=f'{{"detail":{detail}}}'.encode())
    with pytest.raises(ClientError) as caught:
        run(client_of(lambda _: answer), lambda client: client.stats())
    assert caught.value.status == status
    assert len(str(caught.value)) < 5_000


def test_an_error_without_an_end_is_refused_before_it_fills_memory() -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"short\n" * 100_000

    async def read(client: Client) -> None:
        with pytest.raises(ClientError, match="answer of more than"):
            [event async for event in client.events()]

    run(client_of(lambda _: httpx.Response(503, content=body())), read)


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


@pytest.mark.parametrize("retry_for_s", [1, 0, -1, math.nan])
def test_an_append_is_not_tried_again_longer_than_wished(retry_for_s: float) -> None:
    requests: list[httpx.Request] = []

    def busy(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(503, headers={"Retry-After": "2"}, json={"detail": "busy: the write queue is full"})

    with pytest.raises(ClientError, match="the write queue is full"):
        run(client_of(busy), lambda client: client.append({"kind": "other"}, retry_for_s=retry_for_s))
    assert len(requests) == 1


def test_a_refused_event_is_never_tried_again() -> None:
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(422, json={"detail": "kind: is empty"})

    with pytest.raises(ClientError, match="kind: is empty"):
        run(client_of(refuse), lambda client: client.append({}, retry_for_s=60))
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            {"n": float("nan")},
            "payload: holds NaN, an infinity or a number of too many digits, which JSON cannot carry",
        ),
        ({"n": [{"m": float("-inf")}]}, "payload: holds NaN, an infinity"),
        ({"n": 10**5000}, "payload: holds NaN, an infinity or a number of too many digits"),
        ({"n": "\ud800"}, "payload: holds a lone surrogate"),
        ({"\ud800": 1}, "payload: holds a lone surrogate"),
        ({"n": object()}, r"payload: holds what JSON cannot carry \(an object of type object\)"),
        ({"n": 1j}, "payload: holds what JSON cannot carry"),
        ({1: "lost", "1": "kept"}, r"payload: holds what JSON cannot carry \(a key of type int\)"),
        ({"n": {float("nan"): 1}}, r"payload: holds what JSON cannot carry \(a key of type float\)"),
    ],
)
def test_what_json_cannot_carry_is_refused_here_and_not_changed(payload: object, message: str) -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    with pytest.raises(ClientError, match=f"^{message}") as refused:
        run(client_of(never), lambda client: client.append({"kind": "other", "source": "s", "payload": payload}))
    assert refused.value.status is None


def test_what_an_event_holds_is_sent_as_it_is() -> None:
    sent: list[bytes] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(201, content=b"{}")

    payload = MappingProxyType(
        {"big": 2**70, "float": 1.0, "e": 1e22, "é": [None, True, "😀\0"], "at": date(2026, 5, 15)}
    )
    event = MappingProxyType({"kind": "other", "source": "s", "payload": payload})
    run(client_of(take), lambda client: client.append(event))
    assert sent == [
        '{"kind":"other","source":"s","payload":{"big":1180591620717411303424,"float":1.0,"e":1e+22,'
        '"é":[null,true,"😀\\u0000"],"at":"2026-05-15"}}'.encode()
    ]


@pytest.mark.parametrize(("event", "key"), [(None, 7), ([1], b"k"), ("{}", ["k"]), (bytearray(b"{}"), {})])
def test_what_is_no_event_is_refused_here(event: Any, key: Any) -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    with pytest.raises(ClientError, match=r"^an event is a mapping"):
        run(client_of(never), lambda client: client.append(event))
    with pytest.raises(ClientError, match=r"^what is sent is bytes"):
        run(client_of(never), lambda client: client.append_batch(event))
    with pytest.raises(ClientError, match=r"^Idempotency-Key"):
        run(client_of(never), lambda client: client.append({}, idempotency_key=key))


def test_a_path_cannot_lead_to_another_host() -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    for path in ("@elsewhere.test/", ".elsewhere.test", "stats", ""):
        with pytest.raises(ClientError, match="is no path"):
            run(client_of(never), partial(Client.get, path=path))


READS: dict[str, Callable[[Client], AsyncIterator[object]]] = {
    "events": lambda client: client.events(),
    "lines": lambda client: client.lines(),
    "tail": lambda client: client.tail(),
}


@pytest.mark.parametrize("read", READS)
async def test_a_client_that_has_been_closed_says_so(read: str) -> None:
    client = client_of(lambda _: httpx.Response(200, json={"count": 0}))
    await client.close()
    for asked in (client.stats(), client.append({})):
        with pytest.raises(ClientError, match=r"^this client has been closed$"):
            await asked
    with pytest.raises(ClientError, match=r"^this client has been closed$"):
        async for _ in READS[read](client):
            pass


@pytest.mark.parametrize("closed_while", ["a stream opens", "it waits to come back"])
async def test_a_tail_ends_with_its_client(closed_while: str) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/stats":
            return httpx.Response(200, json={"count": 0})
        if closed_while == "a stream opens":
            await client.close()
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=chunks([]))

    async def sleep(seconds: float) -> None:
        await client.close()

    client = Client(URL, transport=httpx.MockTransport(answer), sleep=sleep)

    with pytest.raises(ClientError, match=r"^this client has been closed$"):
        [item async for item in client.tail()]


def test_a_tail_of_what_cannot_be_asked_ends() -> None:
    async def read(client: Client) -> None:
        async for item in client.tail(Selection(q="\ud800"), since_id=0):
            raise AssertionError(item)

    with pytest.raises(ClientError, match="can be asked"):
        run(client_of(lambda _: httpx.Response(200)), read)


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


@pytest.mark.parametrize(
    "link", [b"<http://[::1?x>", b"<http://a/?since_id=\xc3\xa9\xff>", b"<" + b"x" * 70_000 + b">", b""]
)
def test_a_link_that_is_no_url_is_a_client_error(link: bytes) -> None:
    headers = [(b"content-type", b"application/x-ndjson"), (b"link", link + b'; rel="next"')]

    async def read(client: Client) -> list[RawEvent]:
        return [event async for event in client.events(since_id=0)]

    with pytest.raises(ClientError, match=r"link to the next page is no URL|do not come to an end"):
        run(client_of(lambda _: httpx.Response(200, headers=headers, content=lines(1))), read)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        (b"", "since_id=9&before_id=1"),
        (b"\n\n", "since_id=9&before_id=1"),
        (b"event", ""),
        (b"event", "since_id=5&before_id=5"),
        (b"event", "since_id=4&before_id=6"),
        (b"event", f"since_id={'9' * 5000}&before_id=-1"),
    ],
)
def test_pages_that_do_not_go_on_are_not_asked_for_for_ever(body: bytes, cursor: str, newest_first: bool) -> None:
    requests: list[httpx.Request] = []

    def page(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        content = lines(6) if body == b"event" else body
        return httpx.Response(200, headers=NDJSON | {"Link": f'</events?{cursor}>; rel="next"'}, content=content)

    async def read(client: Client) -> None:
        chunks = client.lines(since_id=5, before_id=5, newest_first=newest_first)
        async for _ in chunks:
            pass

    with pytest.raises(ClientError, match="do not come to an end"):
        run(client_of(page), read)
    assert len(requests) == 1


def test_the_most_recent_events_are_one_page() -> None:
    link = '</events?limit=2&before_id=1>; rel="next"'
    answer = httpx.Response(200, headers=NDJSON | {"Link": link}, content=lines(1, 2))

    async def read(client: Client) -> list[int]:
        return [event.decode().event_id async for event in client.events(limit=2)]

    assert run(client_of(lambda _: answer), read) == [1, 2]


def test_an_answer_of_0_1_0_is_not_taken_for_the_events_that_were_asked_for() -> None:
    async def read(client: Client) -> list[RawEvent]:
        return [event async for event in client.events(since_id=7)]

    with pytest.raises(ClientError, match=r"is no audit-stream of 0\.2 or later"):
        run(client_of(lambda _: httpx.Response(200, json=[])), read)


def test_an_answer_that_breaks_off_within_an_event_is_an_error() -> None:
    async def read(client: Client) -> list[RawEvent]:
        return [event async for event in client.events()]

    with pytest.raises(ClientError, match="ends within an event"):
        run(client_of(lambda _: httpx.Response(200, headers=NDJSON, content=lines(1) + b'{"event_id":2,')), read)


def test_a_tail_that_breaks_goes_on_after_the_last_event_without_gap_or_repeat() -> None:
    daemon = FakeDaemon(head=2, streams=[[message(3), b": keep-alive\n", message(4)[:-20]], [message(4), message(5)]])

    items = daemon.tail(until=RawEvent, count=3)

    assert ids(items) == [3, 4, 5]
    assert notices(items) == [
        Live(after_id=2),
        Lost(reason="the daemon ended the stream", retry_in_s=0.25),
        Live(after_id=3),
    ]
    assert daemon.cursors == ["2", "3"]


def test_a_tail_goes_on_where_a_stream_said_it_had_come_to_without_an_event() -> None:
    """A filter that lets little through: what was searched once is not searched again."""
    daemon = FakeDaemon(
        head=9, streams=[[message(3), b": at event 7\n"], [b": at event 8\n: keep-alive\n"], [message(9)]]
    )

    items = daemon.tail(until=RawEvent, count=2, since_id=2)

    assert ids(items) == [3, 9]
    assert daemon.cursors == ["2", "7", "8"]
    assert daemon.waits == [0.25, 0.25]  # it gets on


def test_an_event_that_comes_with_a_later_place_is_not_passed_by() -> None:
    """In one chunk of bytes, and the reader breaks off between the two."""
    daemon = FakeDaemon(head=9, streams=[[message(3) + b": at event 7\n"]])

    assert ids(daemon.tail(until=RawEvent, count=1, since_id=2)) == [3]


def test_a_place_beyond_the_log_is_forgotten() -> None:
    daemon = FakeDaemon(head=4, streams=[[message(3), b": at event 900\n"], [message(4)]])
    daemon.head_of_stream[1] = 4

    assert ids(daemon.tail(until=RawEvent, count=2, since_id=2)) == [3, 4]
    assert daemon.cursors == ["2", "3"]


def test_a_line_of_data_that_looks_like_a_place_is_data() -> None:
    daemon = FakeDaemon(head=9, streams=[[b"data: 1\n: at event 7\n\n"]])

    async def read(client: Client) -> list[object]:
        async with client.stream(Selection(), 0) as messages:
            return [message async for message in messages]

    assert run(client_of(daemon.answer), read) == [RawEvent(b"1")]


def test_a_tail_backs_off_exponentially_until_the_daemon_is_back() -> None:
    daemon = FakeDaemon(head=0, streams=[None, None, None, None, None, None, None, None, [message(1)]])

    items = daemon.tail(until=RawEvent, count=1, since_id=0)

    assert daemon.waits == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert next(item.reason for item in items if isinstance(item, Lost)).startswith("no daemon answers at")
    assert ids(items) == [1]


def test_a_silent_stream_is_taken_for_dead() -> None:
    daemon = FakeDaemon(head=0, streams=[httpx.ReadTimeout("45 s"), [message(1)]])

    items = daemon.tail(until=RawEvent, count=1)

    assert Lost(reason=f"the daemon at {URL} is silent", retry_in_s=0.25) in items
    assert ids(items) == [1]
    assert daemon.read_timeouts == [45.0, 45.0]


def test_streams_that_end_as_soon_as_they_open_are_waited_for_longer_and_longer() -> None:
    daemon = FakeDaemon(head=0, streams=[[], [], [b": keep-alive\n"], [], [message(1)], []])

    daemon.tail(until=Lost, count=6, since_id=0)

    assert daemon.waits == [0.25, 0.5, 1, 2, 0.25]  # the sixth Lost comes before its wait


def test_a_quiet_stream_that_has_lasted_is_waited_for_as_briefly_as_the_first() -> None:
    daemon = FakeDaemon(head=0, streams=[[], [], [], []])
    daemon.stream_lasts_s = [0, 14, 15, 0]

    daemon.tail(until=Lost, count=4, since_id=0)

    assert daemon.waits == [0.25, 0.5, 0.25]


def test_an_event_of_another_id_moves_no_tail_there() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)], [message(7)], [message(8)]])
    daemon.every_event_is = 1

    items = daemon.tail(until=RawEvent, count=2)

    assert OtherHistory(seen=Head(6, hash_of(6)), head=Head(10**6, hash_of(10**6))) in items
    assert ids(items) == [6, 7]
    assert daemon.cursors == ["5", "6"]


def test_a_log_that_became_shorter_is_another_history() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)], [message(3)]])
    daemon.head_of_stream[1] = 2

    items = daemon.tail(until=RawEvent, count=2)

    assert OtherHistory(seen=Head(6, hash_of(6)), head=Head(2, hash_of(2))) in items
    assert ids(items) == [6, 3]
    assert daemon.cursors == ["5", "2"]


def test_a_log_that_was_rewritten_is_another_history() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)], [message(8)]])
    daemon.head_of_stream[1] = 7
    daemon.rewritten_from_stream = 1

    items = daemon.tail(until=RawEvent, count=2)

    assert OtherHistory(seen=Head(6, hash_of(6)), head=Head(7, hash_of(7))) in items
    assert daemon.cursors == ["5", "6"]


def test_a_cursor_beyond_the_log_is_another_history() -> None:
    daemon = FakeDaemon(head=5, streams=[[message(6)]])

    items = daemon.tail(until=RawEvent, count=1, since_id=9)

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
        self.stream_lasts_s: list[float] = []
        self.every_event_is: int | None = None
        self.asked = 0

    def tail(self, *, until: type, count: int, since_id: int | None = None) -> list[Tailed]:
        async def read(client: Client) -> list[Tailed]:
            items: list[Tailed] = []
            async with contextlib.aclosing(client.tail(since_id=since_id)) as tail:
                async for item in tail:
                    items.append(item)
                    if sum(isinstance(item, until) for item in items) == count:
                        return items
            raise AssertionError("a tail never ends")

        return run(client_of(self.answer, self.waits, clock_s=self.clock_s), read)

    def clock_s(self) -> float:
        """Asked when a stream has opened and when it has ended: each lasts as long as the test says."""
        self.asked += 1
        lasts_s = self.stream_lasts_s[self.opened - 1] if self.stream_lasts_s else 0
        return lasts_s if self.asked % 2 == 0 else 0

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
        event_id = self.every_event_is or event_id
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


def served(event_id: int, *, hash_: str | None = None) -> RawEvent:
    fields = {
        "event_id": event_id,
        "kind": "other",
        "payload": {},
        "prev_hash": hash_of(event_id - 1),
        "source": "test",
        "timestamp": "2026-05-15T03:14:15.000+00:00",
        "hash": hash_ or hash_of(event_id),
    }
    return RawEvent(json.dumps(fields, separators=(",", ":")).encode())


def message(event_id: int) -> bytes:
    return b"event: other\nid: %d\ndata: %b\n\n" % (event_id, served(event_id).raw)


def lines(*event_ids: int) -> bytes:
    return b"".join(served(event_id).raw + b"\n" for event_id in event_ids)


def ids(items: list[Tailed]) -> list[int]:
    return [item.decode().event_id for item in items if isinstance(item, RawEvent)]


def notices(items: list[Tailed]) -> list[Tailed]:
    return [item for item in items if not isinstance(item, RawEvent)]


class Endless(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536


def endless(media_type: str) -> httpx.AsyncBaseTransport:
    return httpx.MockTransport(
        lambda request: httpx.Response(200, headers={"content-type": media_type}, stream=Endless())
    )


async def test_an_endless_answer_is_refused_before_it_fills_memory() -> None:
    async with Client(transport=endless("application/json")) as client:
        with pytest.raises(ClientError, match="answer of more than"):
            await client.stats()


@pytest.mark.parametrize("line", [b"data: x\n", b"data: x\r\n", b": x\n"])
async def test_a_message_without_an_end_is_refused_before_it_fills_memory(line: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield line * 1000

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    async with Client(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ClientError, match="message of more than"):
            async with client.stream(Selection(), 0) as served:
                await anext(served)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk_bytes", [1000, 1001, 100_000])
async def test_many_short_messages_are_no_endless_one(newline: str, chunk_bytes: int) -> None:
    text = f"data: {'x' * 985}{newline}{newline}".encode() * 2000

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(text), chunk_bytes):
            yield text[start : start + chunk_bytes]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    async with Client(transport=httpx.MockTransport(answer)) as client, client.stream(Selection(), 0) as served:
        messages = [message async for message in served]
    assert [len(message.raw) for message in messages if isinstance(message, RawEvent)] == [985] * 2000


async def test_an_endless_line_ends_a_page_and_a_stream() -> None:
    async with Client(transport=endless("application/x-ndjson")) as client:
        with pytest.raises(ClientError, match="line of more than"):
            [event async for event in client.events(limit=1)]
    async with Client(transport=endless("text/event-stream")) as client:
        with pytest.raises(ClientError, match="line of more than"):
            async with client.stream(Selection(), 0) as served:
                [event async for event in served]
