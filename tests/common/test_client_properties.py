"""Whatever a client is given and whatever answers it: a result, or ClientError and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import UserDict
from collections.abc import AsyncGenerator, Callable
from types import MappingProxyType
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_stream.client import Client, Lost, Selection, base_url, shown_url
from audit_stream.errors import ClientError

anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.just(2**70),
        st.floats(),
        st.text(st.characters()),
        st.sampled_from(["\ud800", "\udfff\ud800"]),
        st.binary(max_size=3),
        st.builds(object),
        st.complex_numbers(),
        st.datetimes(),
        st.uuids(),
        st.decimals(),
        st.fractions(),
        st.just(Ellipsis),
        st.just(int),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.sets(st.integers(), max_size=2),
        st.tuples(inner),
        st.dictionaries(
            st.one_of(
                st.text(max_size=2), st.just("\ud800"), st.integers(), st.none(), st.floats(), st.binary(max_size=2)
            ),
            inner,
            max_size=2,
        ),
        st.builds(MappingProxyType, st.dictionaries(st.text(max_size=2), inner, max_size=2)),
        st.builds(UserDict, st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    ),
    max_leaves=4,
)
texts = st.one_of(
    st.text(st.characters(), max_size=8),
    st.sampled_from(["\ud800", "x\r\ny: z", "\0", "a" * 70_000, "//host/", "?", "[", "http://[::1", "@", ":0"]),
)
ids = st.one_of(st.integers(), st.none(), st.sampled_from([0, -1, 2**63]))
numbers = st.one_of(st.floats(), st.integers(), st.sampled_from([math.nan, math.inf, -1.0]))
selections = st.builds(
    Selection,
    kinds=st.lists(texts, max_size=2).map(tuple),
    sources=st.lists(texts, max_size=1).map(tuple),
    q=texts,
    since=texts,
    until=texts,
)
HEADERS = st.one_of(
    st.sampled_from(
        [
            b"application/x-ndjson",
            b"text/event-stream",
            b"application/problem+json",
            b"</events?since_id=9>; rel=next",
            b"<\xef\xbf\xbd[>; rel=next",
            b"<http://[>; rel=next",
            b"http://[",
            b"gzip",
            b"9" * 400,
            "\u0663".encode(),
            b"text/event-stream; charset=zlib",
        ]
    ),
    st.binary(max_size=8),
)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"{}",
            b'{"event_id":1}\n',
            b'id: 1\ndata: {"event_id":1,"hash":"x"}\n\n',
            b'data: {"event_id":%b}\n\n' % (b"9" * 5000),
            b'data: "\xff"\n\n',
            b"[" * 5_000,
            b'{"detail":%b' % (b"[" * 5_000),
            b'{"detail":%b}' % (b"9" * 5000),
            b'{"detail":"\\ud800"}',
            b'{"count":1,"last_event_id":1,"latest_hash":"x"}',
            b'{"count":1,"first_event_id":1,"last_event_id":1,"latest_hash":"x"}',
        ]
    ),
)
names = st.sampled_from(["Content-Type", "Link", "Retry-After", "Location", "Content-Encoding"])
answers = st.tuples(
    st.sampled_from([200, 201, 204, 206, 301, 304, 400, 404, 422, 500, 503]),
    st.dictionaries(names, HEADERS, max_size=3),
    BODIES,
)

Call = Callable[[Client], Any]


async def first(items: AsyncGenerator[Any], count: int = 3) -> None:
    """So many items, or as many as come before the tail says that it is lost."""
    async with contextlib.aclosing(items):
        async for item in items:
            count -= 1
            if count == 0 or isinstance(item, Lost):
                return


async def streamed(client: Client, selection: Selection, after_id: int) -> None:
    async with client.stream(selection, after_id) as events:
        await first(events)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A call of the client, with what its signature allows."""
    keys = st.one_of(st.none(), texts)
    match draw(st.sampled_from(["append", "batch", "get", "report", "event", "events", "lines", "tail", "stream"])):
        case "append":
            payload = st.fixed_dictionaries({"payload": anything})
            event = draw(st.one_of(payload, st.dictionaries(st.text(max_size=3), anything), st.binary()))
            key, retry_for_s = draw(keys), draw(st.sampled_from([0, -1, math.nan]))
            return lambda client: client.append(event, idempotency_key=key, retry_for_s=retry_for_s)
        case "batch":
            lines, key = draw(st.binary()), draw(keys)
            return lambda client: client.append_batch(lines, idempotency_key=key)
        case "get":
            path, seconds = draw(st.one_of(texts, texts.map("/{}".format))), draw(numbers)
            return lambda client: client.get(path, answer_s=seconds)
        case "report":
            report: Call = draw(st.sampled_from([Client.stats, Client.verify]))
            return report
        case "event":
            event_id = draw(st.integers())
            return lambda client: client.event(event_id)
        case "events":
            selection, limit, since_id, before_id, newest = draw(st.tuples(selections, ids, ids, ids, st.booleans()))
            return lambda client: first(
                client.events(selection, limit=limit, since_id=since_id, before_id=before_id, newest_first=newest)
            )
        case "lines":
            selection, size, since_id = draw(st.tuples(selections, ids, ids))
            return lambda client: first(client.lines(selection, page_events=size, since_id=since_id))
        case "tail":
            selection, since_id = draw(st.tuples(selections, ids))
            return lambda client: first(client.tail(selection, since_id=since_id))
        case _:
            selection, after_id = draw(st.tuples(selections, st.integers()))
            return lambda client: streamed(client, selection, after_id)


@settings(deadline=None, max_examples=200)
@given(calls(), st.lists(answers, min_size=1, max_size=4))
async def test_whatever_is_asked_and_answered_only_client_errors_escape(
    call: Call, given: list[tuple[int, dict[str, bytes], bytes]]
) -> None:
    """The last answer is given to all further requests."""

    def handler(request: httpx.Request) -> httpx.Response:
        status, headers, content = given.pop(0) if len(given) > 1 else given[0]
        raw = [(name.encode(), value) for name, value in headers.items()]
        return httpx.Response(status, headers=raw, stream=httpx.ByteStream(content))

    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async with Client("http://daemon.test", transport=httpx.MockTransport(handler), sleep=no_sleep) as client:
        with contextlib.suppress(ClientError):
            await call(client)


@settings(deadline=None)
@given(texts)
def test_an_address_is_one_or_a_client_error(text: str) -> None:
    shown_url(text)
    with contextlib.suppress(ClientError):
        base_url(text)
    with contextlib.suppress(ClientError):
        Client(text)
