"""One daemon over HTTP: requests, retries, pages."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

import httpx
import msgspec
from httpx_sse import aconnect_sse

from audit_stream.answers import Stats
from audit_stream.chain import Verdict
from audit_stream.client.bodies import encode
from audit_stream.client.decoding import Appended, RawEvent, Receipt, decode
from audit_stream.client.failures import Again, back_off_s, check, check_plain, translated
from audit_stream.client.limits import ShortBody, ShortLines, ShortMessages
from audit_stream.client.messages import Reached, read_messages
from audit_stream.client.reading import Readings
from audit_stream.client.selection import EVERYTHING, Parameters, Selection
from audit_stream.client.tail import Tailed, follow
from audit_stream.client.tls import authorities, is_loopback
from audit_stream.errors import ClientError
from audit_stream.wire import DEFAULT_URL, JSON, KEY_PATTERN, KEY_RULE, NDJSON

__all__ = ["Client", "base_url", "shown_url"]

_CONNECT_S = 5.0
_ANSWER_S = 30.0
_VERIFY_ANSWER_S = 3600.0
_DEAD_STREAM_S = 45.0
"""The daemon sends a comment every 15 s; after three that did not come the connection is dead."""

_KEY = re.compile(KEY_PATTERN)
_ID = re.compile("[0-9]{1,19}")
_USERINFO = re.compile("^((?:[a-zA-Z][a-zA-Z0-9+.-]*://)?)[^/?#]*@")
_BEFORE_AT = re.compile("^((?:[a-zA-Z][a-zA-Z0-9+.-]*://)?).*@", re.DOTALL)
"""Of a text that is no URL, and so perhaps one with a password that was not escaped."""

_MAX_LABEL, _MAX_NAME = 63, 253
"""Bytes (RFC 1035, 2.3.4); Python raises UnicodeError for more."""

_PAGE_EVENTS = 10_000
"""In one request of a longer read: a few megabytes, so that a lost connection costs little."""


def base_url(text: str) -> str:
    """The daemon's address without a slash at its end, from what people and producers write.

    `/events` at the end, which producers' settings have, is dropped; without a scheme it is http.
    Raises ClientError.
    """
    address = text.strip()
    named = _BEFORE_AT.sub(r"\1", text)  # a password is shown to nobody
    refused = f"{named!r} is no address of a daemon"
    if not address.isprintable() or " " in address:
        raise ClientError(f"{refused}: it holds a space or a character that cannot be shown")
    try:
        url = httpx.URL(address if "://" in address else f"http://{address}")
    except httpx.InvalidURL as error:
        why = f"use one such as {DEFAULT_URL}" if "@" in address else str(error)  # which may quote a part of a password
        raise ClientError(f"{refused}: {why}") from None
    if url.scheme not in ("http", "https") or not _is_host(url.raw_host) or url.query or url.fragment:
        raise ClientError(f"{refused}: use one such as {DEFAULT_URL}")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ClientError(f"{refused}: a port is a number from 1 to 65535")
    return str(url.copy_with(path=url.path.rstrip("/").removesuffix("/events"))).rstrip("/")


def shown_url(url: str) -> str:
    """An address without name and password, which may be shown and stored; also of a text that is no address."""
    try:
        httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return _BEFORE_AT.sub(r"\1", url)
    return _USERINFO.sub(r"\1", url)


class Client:
    """Talks to one daemon; an async context manager. Belongs to one event loop.

    `url` is the address without the name and password that it may have been given with; they go with every request.
    `transport`, `sleep`, `jitter` (0 to 1) and `clock_s` are there for tests.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        address = httpx.URL(base_url(url))
        self.url = shown_url(str(address))
        self._sleep = sleep
        self._jitter = jitter
        self._clock_s = clock_s
        self._readings = Readings()
        self._http = httpx.AsyncClient(
            transport=transport,
            auth=httpx.BasicAuth(address.username, address.password) if address.userinfo else None,
            headers={"Accept-Encoding": "identity"},  # what is inflated cannot be kept short
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=not is_loopback(self.url),  # no proxy leads to this very machine
            verify=authorities() if self.url.startswith("https:") else False,  # building a TLS context takes 20 ms
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything that is being read, and close all connections."""
        await self._readings.close()
        await self._http.aclose()

    async def get(self, path: str, *, answer_s: float = _ANSWER_S) -> bytes:
        """The body of a GET, such as of `/stats`."""
        answer = await self._request("GET", path, timeout=httpx.Timeout(answer_s, connect=_CONNECT_S))
        return answer.content

    async def stats(self) -> Stats:
        """The log's size, head, counts and rates."""
        return decode(await self.get("/stats"), Stats)

    async def verify(self) -> Verdict:
        """A fresh verdict on the whole chain; takes as long as the verification."""
        return decode(await self.get("/verify", answer_s=_VERIFY_ANSWER_S), Verdict)

    async def event(self, event_id: int) -> RawEvent | None:
        """One event, None when there is none of this id."""
        try:
            return RawEvent(await self.get(f"/events/{event_id}"))
        except ClientError as error:
            if error.status == 404:
                return None
            raise

    def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        """Events: after `since_id`, or before `before_id`, or the most recent; `limit` ends it.

        After `since_id`, or newest first, it goes on page by page as far as the log does. Without either it is the
        most recent `limit` events (the daemon's default is 1,000), oldest first. It may be left at any event.
        """
        return self._readings.begin(self._events(selection, limit, since_id, before_id, newest_first=newest_first))

    async def _events(
        self,
        selection: Selection,
        limit: int | None,
        since_id: int | None,
        before_id: int | None,
        *,
        newest_first: bool,
    ) -> AsyncGenerator[RawEvent]:
        pages = since_id is not None or newest_first
        page_events = limit if limit is None or not pages else min(limit, _PAGE_EVENTS)
        count = 0
        lines = self._lines(selection, page_events, since_id, before_id, newest_first=newest_first)
        async with contextlib.aclosing(lines):
            async for chunk in lines:
                for line in chunk.splitlines():
                    if count == limit:
                        return
                    yield RawEvent(line)
                    count += 1

    def lines(
        self,
        selection: Selection = EVERYTHING,
        *,
        page_events: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[bytes]:
        """What `events` gives without a limit, as chunks of whole NDJSON lines: for those who pass them on."""
        return self._readings.begin(self._lines(selection, page_events, since_id, before_id, newest_first=newest_first))

    async def _lines(
        self,
        selection: Selection,
        page_events: int | None,
        since_id: int | None,
        before_id: int | None,
        *,
        newest_first: bool,
    ) -> AsyncGenerator[bytes]:
        pages = since_id is not None or newest_first
        if pages and page_events is None:
            page_events = _PAGE_EVENTS
        named = {"since_id": since_id, "before_id": before_id, "limit": page_events}
        parameters: Parameters | None = [
            *selection.parameters(),
            *((name, str(value)) for name, value in named.items() if value is not None),
            *((("order", "desc"),) if newest_first else ()),
        ]
        while parameters is not None:
            is_empty = True
            async with self._page(parameters) as answer:
                if not answer.headers.get("content-type", "").startswith(NDJSON):
                    raise ClientError(f"what answers at {self.url} is no audit-stream of 0.2 or later", status=200)
                rest = b""
                async for chunk in answer.aiter_bytes():
                    lines, newline, rest = (rest + chunk).rpartition(b"\n")
                    if newline:
                        is_empty = is_empty and (not lines or lines.isspace())
                        yield lines + newline
                if rest:
                    raise ClientError(f"the answer of {self.url} ends within an event")
            following = _next_page(answer) if pages else None
            if following is not None and (is_empty or not _goes_on(parameters, following, newest_first=newest_first)):
                raise ClientError(f"the pages of {self.url} do not come to an end", status=200)
            parameters = following

    async def append(
        self, event: Mapping[str, Any] | bytes, *, idempotency_key: str | None = None, retry_for_s: float = 0
    ) -> Appended:
        """Append one event: a mapping with kind, source and perhaps payload and timestamp, or its JSON.

        On return it is on disk. For `retry_for_s` seconds a daemon that is away or busy is tried again; the key
        (a random one if none is given) keeps a retry from appending twice. A refusal is a ClientError with a status;
        one without says that no daemon answered, or that the event or the key is none that can be sent: NaN and
        infinities, for example, are nothing that JSON can carry. Then nothing is sent.
        """
        body = event if isinstance(event, bytes) else encode(event)
        answer = await self._post("/events", body, JSON, idempotency_key, retry_for_s)
        return Appended(event=RawEvent(answer.content), replayed=answer.status_code == 200)

    async def append_batch(
        self, lines: bytes, *, idempotency_key: str | None = None, retry_for_s: float = 0
    ) -> Receipt:
        """Append the events of NDJSON, all or none; otherwise as `append`."""
        answer = await self._post("/events/batch", lines, NDJSON, idempotency_key, retry_for_s)
        receipt = decode(answer.content, Receipt)
        return msgspec.structs.replace(receipt, replayed=answer.status_code == 200)

    def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """Everything selected after event `since_id`, or from now on, for ever and without gap or repeat.

        Between the events come notices: Live, Lost, OtherHistory. It reconnects by itself; what raises ClientError
        is only a request that the daemon refuses, such as a malformed filter. It may be left at any item.
        """
        return self._readings.begin(
            follow(self, selection, since_id, sleep=self._sleep, jitter=self._jitter, clock_s=self._clock_s)
        )

    @contextlib.asynccontextmanager
    async def stream(self, selection: Selection, after_id: int) -> AsyncIterator[AsyncGenerator[RawEvent | Reached]]:
        """One connection to `/stream`: everything selected after event `after_id`, as long as it lasts.

        It may break at any time; `tail` is made of these.
        """
        with translated(self.url):
            async with aconnect_sse(
                self._open(),
                "GET",
                f"{self.url}/stream",
                params=selection.parameters(),
                headers={"Last-Event-ID": str(after_id)},
                timeout=httpx.Timeout(_CONNECT_S, read=_DEAD_STREAM_S),
            ) as source:
                check_plain(source.response, self.url)
                source.response.stream = ShortMessages(ShortLines(source.response.stream))
                await check(source.response, self.url)
                self._open()  # a connection that was under way while the client was closed is not closed with it
                if not source.response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise ClientError(f"what answers at {self.url} is no audit-stream daemon", status=200)
                async with contextlib.aclosing(read_messages(source.response.aiter_bytes())) as messages:
                    yield messages

    async def _post(
        self, path: str, body: bytes, media_type: str, key: str | None, retry_for_s: float
    ) -> httpx.Response:
        if not isinstance(body, bytes):
            raise ClientError(f"what is sent is bytes, not {type(body).__name__}")
        headers = {"Content-Type": media_type, "Idempotency-Key": _checked_key(key)}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + retry_for_s
        failures = 0
        while True:
            try:
                return await self._request("POST", path, content=body, headers=headers)
            except Again as error:
                wait_s = max(back_off_s(failures, self._jitter()), error.retry_after_s)
                failures += 1
                if not loop.time() + wait_s <= deadline:  # also for NaN, which is later than nothing
                    raise
            await self._sleep(wait_s)

    def _open(self) -> httpx.AsyncClient:
        if self._http.is_closed:
            raise ClientError("this client has been closed")
        return self._http

    async def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if not path.startswith("/"):  # it would become a part of the address
            raise ClientError(f"{path[:64]!r} is no path: it begins with /")
        with translated(self.url):
            async with self._open().stream(method, f"{self.url}{path}", **arguments) as answer:
                check_plain(answer, self.url)
                answer.stream = ShortBody(answer.stream)
                await answer.aread()
            await check(answer, self.url)
            return answer

    @contextlib.asynccontextmanager
    async def _page(self, parameters: Parameters) -> AsyncIterator[httpx.Response]:
        with translated(self.url):
            async with self._open().stream(
                "GET", f"{self.url}/events", params=parameters, headers={"Accept": NDJSON}
            ) as answer:
                check_plain(answer, self.url)
                answer.stream = ShortLines(answer.stream)
                await check(answer, self.url)
                yield answer


def _next_page(answer: httpx.Response) -> Parameters | None:
    """The parameters of the next page (RFC 8288); its path would lack what a proxy puts before ours."""
    link = answer.links.get("next")
    if link is None:
        return None
    try:
        return [*parse_qsl(httpx.URL(link["url"]).query.decode("ascii"), keep_blank_values=True)]
    except (httpx.InvalidURL, ValueError):  # ValueError: no ASCII
        raise ClientError("the answer's link to the next page is no URL", status=200) from None


def _goes_on(asked: Parameters, following: Parameters, *, newest_first: bool) -> bool:
    """Whether the next page lies beyond the one that was asked for, in the direction of reading."""
    name = "before_id" if newest_first else "since_id"
    here, there = _cursor(asked, name), _cursor(following, name)
    if there is None or here is None:
        return there is not None
    return there < here if newest_first else there > here


def _cursor(parameters: Parameters, name: str) -> int | None:
    text = str(dict(parameters).get(name, ""))
    return int(text) if _ID.fullmatch(text) else None


def _is_host(host: bytes) -> bool:
    """Whether it can be the name or number of a machine: `..` of a path, or nothing, cannot."""
    labels = host.removesuffix(b".").split(b".")
    return len(host) <= _MAX_NAME and all(0 < len(label) <= _MAX_LABEL for label in labels)


def _checked_key(key: object) -> str:
    if key is None:
        return uuid.uuid4().hex
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise ClientError(KEY_RULE)
    return key
