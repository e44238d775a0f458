"""The daemon's HTTP client, for the command line, the console and any other asyncio program.

    async with Client("http://127.0.0.1:8093") as client:
        await client.append({"kind": "other", "source": "my-service", "payload": {"answer": 42}})
        async for item in client.tail():
            ...

Events come as `Served`: the very bytes that the daemon sent, so that whoever wants evidence can hash them.
Everything here raises ClientError and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

import httpx
import msgspec
from httpx_sse import SSEError, aconnect_sse

from audit_stream.chain import GENESIS, GENESIS_HASH, Head
from audit_stream.errors import ClientError
from audit_stream.event import Event

__all__ = [
    "DEFAULT_URL",
    "EVERYTHING",
    "Appended",
    "Client",
    "Live",
    "Lost",
    "OtherHistory",
    "Receipt",
    "Report",
    "Selection",
    "Served",
    "Stats",
    "Tailed",
    "base_url",
]

DEFAULT_URL = "http://127.0.0.1:8093"

_CONNECT_S = 5.0
_ANSWER_S = 30.0
_VERIFY_ANSWER_S = 3600.0
_DEAD_STREAM_S = 45.0
"""The daemon sends a comment every 15 s; after three that did not come the connection is dead."""

_FIRST_WAIT_S = 0.25
"""A daemon that is restarted answers again after less than half a second."""
_LONGEST_WAIT_S = 15.0

_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that say nothing about the request: the same may succeed later (RFC 9110, 15.6)."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NDJSON = "application/x-ndjson"

_PAGE_EVENTS = 10_000
"""In one request of a longer read: a few megabytes, so that a lost connection costs little."""

_Parameters = list[tuple[str, str | int | float | bool | None]]
_T = TypeVar("_T")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: any of the kinds AND any of the sources AND the filter `q`; times are RFC 3339 instants."""

    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    q: str = ""
    since: str = ""
    until: str = ""

    def parameters(self) -> _Parameters:
        """As query parameters."""
        named = [("q", self.q), ("since", self.since), ("until", self.until)]
        return [
            *(("kind", kind) for kind in self.kinds),
            *(("source", source) for source in self.sources),
            *((name, value) for name, value in named if value),
        ]


EVERYTHING = Selection()


class Served(msgspec.Struct, frozen=True):
    """An event exactly as the daemon sent it: one JSON object in ASCII, without a line break."""

    raw: bytes

    def decode(self) -> Event:
        """Its fields. Raises ClientError when the bytes are no event."""
        return _decode(self.raw, Event)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's verdict on its whole chain. What is None or empty, a daemon of version 0.1.0 does not say."""

    valid: bool
    checked: int
    first_break_at: int | None = None
    reason: str | None = None
    head: Head | None = None
    duration_ms: int | None = None
    verified_at: str = ""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon says of its log. `rates_per_second` is keyed by the span that each is taken over."""

    count: int
    last_event_id: int | None = None
    latest_hash: str | None = None
    by_kind: dict[str, int] = {}
    by_source: dict[str, int] = {}
    rates_per_second: dict[str, float] = {}
    subscribers: int = 0
    database_bytes: int = 0
    last_verdict: Report | None = None

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return Head(self.last_event_id, self.latest_hash or GENESIS_HASH) if self.last_event_id else GENESIS


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is on the daemon's disk. `replayed`: it already was, from an earlier try with the same key."""

    event: Served
    replayed: bool


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is on the daemon's disk."""

    count: int
    first_event_id: int
    last_event_id: int
    latest_hash: str
    replayed: bool = False


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The tail is connected: everything after event `after_id` that is selected follows."""

    after_id: int


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The tail is not connected; it tries again in `retry_in_s` seconds and goes on where it was."""

    reason: str
    retry_in_s: float


class OtherHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's log no longer holds `seen`, an event that this tail has had: it was cut, rewritten or replaced.

    The tail goes on after event `head`, or after `seen` when the log is still that long.
    """

    seen: Head
    head: Head


Tailed = Served | Live | Lost | OtherHistory


def base_url(text: str) -> str:
    """The daemon's address without a slash at its end, from what people and producers write.

    `/events` at the end, which producers' settings have, is dropped; without a scheme it is http.
    Raises ClientError.
    """
    address = text.strip()
    if not address.isprintable() or " " in address:
        raise ClientError(f"{text!r} is no address of a daemon: it holds a space or a character that cannot be shown")
    try:
        url = httpx.URL(address if "://" in address else f"http://{address}")
    except httpx.InvalidURL as error:
        raise ClientError(f"{text!r} is no address of a daemon: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ClientError(f"{text!r} is no address of a daemon: use one such as {DEFAULT_URL}")
    return str(url.copy_with(path=url.path.rstrip("/").removesuffix("/events"))).rstrip("/")


class Client:
    """Talks to one daemon; an async context manager. Belongs to one event loop.

    `transport`, `sleep` and `jitter` (0 to 1) are there for tests.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = base_url(url)
        self._sleep = sleep
        self._jitter = jitter
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=not _is_loopback(httpx.URL(self.url).host),  # no proxy leads to this very machine
            verify=self.url.startswith("https:"),  # building a TLS context takes 20 ms
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str, *, answer_s: float = _ANSWER_S) -> bytes:
        """The body of a GET, such as of `/stats`."""
        answer = await self._request("GET", path, timeout=httpx.Timeout(answer_s, connect=_CONNECT_S))
        return answer.content

    async def stats(self) -> Stats:
        """The log's size, head, counts and rates."""
        return _decode(await self.get("/stats"), Stats)

    async def verify(self) -> Report:
        """A fresh verdict on the whole chain; takes as long as the walk."""
        return _decode(await self.get("/verify", answer_s=_VERIFY_ANSWER_S), Report)

    async def event(self, event_id: int) -> Served | None:
        """One event, None when there is none of this id."""
        try:
            return Served(await self.get(f"/events/{event_id}"))
        except ClientError as error:
            if error.status == 404:
                return None
            raise

    async def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[Served]:
        """Events: after `since_id`, or before `before_id`, or the most recent; `limit` ends it.

        After `since_id`, or newest first, it goes on page by page as far as the log does. Without either it is the
        most recent `limit` events (the daemon's default is 1,000), oldest first.
        """
        pages = since_id is not None or newest_first
        page_events = _PAGE_EVENTS if pages else limit
        if pages and limit is not None:
            page_events = min(limit, _PAGE_EVENTS)
        count = 0
        lines = self.lines(
            selection,
            page_events=page_events,
            since_id=since_id,
            before_id=before_id,
            newest_first=newest_first,
        )
        async with contextlib.aclosing(lines):
            async for chunk in lines:
                for line in chunk.splitlines():
                    if count == limit:
                        return
                    yield Served(line)
                    count += 1

    async def lines(
        self,
        selection: Selection = EVERYTHING,
        *,
        page_events: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[bytes]:
        """What `events` gives without a limit, as chunks of whole NDJSON lines: for those who pass them on."""
        named = {"since_id": since_id, "before_id": before_id, "limit": page_events}
        parameters: _Parameters | None = [
            *selection.parameters(),
            *((name, str(value)) for name, value in named.items() if value is not None),
            *((("order", "desc"),) if newest_first else ()),
        ]
        while parameters is not None:
            async with self._stream("/events", parameters) as answer:
                if not answer.headers.get("content-type", "").startswith(_NDJSON):
                    raise ClientError(f"what answers at {self.url} is no audit-stream of 0.2 or later", status=200)
                rest = b""
                async for chunk in answer.aiter_bytes():
                    lines, newline, rest = (rest + chunk).rpartition(b"\n")
                    if newline:
                        yield lines + newline
                if rest:
                    raise ClientError(f"the answer of {self.url} ends within an event")
            parameters = _next_page(answer) if since_id is not None or newest_first else None

    async def append(
        self, event: Mapping[str, Any] | bytes, *, idempotency_key: str | None = None, retry_for_s: float = 0
    ) -> Appended:
        """Append one event: a mapping with kind, source and perhaps payload and timestamp, or its JSON.

        On return it is on disk. For `retry_for_s` seconds a daemon that is away or busy is tried again; the key
        (a random one if none is given) keeps a retry from appending twice. A refusal is a ClientError with a status.
        """
        body = event if isinstance(event, bytes) else msgspec.json.encode(event)
        answer = await self._post("/events", body, "application/json", idempotency_key, retry_for_s)
        return Appended(event=Served(answer.content), replayed=answer.status_code == 200)

    async def append_batch(
        self, lines: bytes, *, idempotency_key: str | None = None, retry_for_s: float = 0
    ) -> Receipt:
        """Append the events of NDJSON, all or none; otherwise as `append`."""
        answer = await self._post("/events/batch", lines, _NDJSON, idempotency_key, retry_for_s)
        receipt = _decode(answer.content, Receipt)
        return msgspec.structs.replace(receipt, replayed=answer.status_code == 200)

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """Everything selected after event `since_id`, or from now on, for ever and without gap or repeat.

        Between the events come notices: Live, Lost, OtherHistory. It reconnects by itself; what raises ClientError
        is only a request that the daemon refuses, such as a malformed filter.
        """
        place = None if since_id is None else Head(since_id, "")
        failures = 0
        while True:
            try:
                place, other = await self._confirm(place)
                if other is not None:
                    yield other
                async with self._events_of_stream(selection, place) as served:
                    failures = 0
                    yield Live(after_id=place.event_id)
                    async for event in served:
                        place = _decode(event.raw, Head)
                        yield event
                reason = "the daemon ended the stream"
            except ClientError as error:
                if error.status is not None and error.status not in _AGAIN:
                    raise
                reason = str(error)
            wait_s = self._wait_s(failures)
            failures += 1
            yield Lost(reason=reason, retry_in_s=wait_s)
            await self._sleep(wait_s)

    async def _confirm(self, place: Head | None) -> tuple[Head, OtherHistory | None]:
        """Where to go on, and whether the daemon's log still holds the event of that place.

        The stream's own opening comment would say so too, but it knows ids only, and SSE readers drop comments.
        """
        if place is None or place.event_id == 0:
            return (await self.stats()).head if place is None else GENESIS, None
        found = await self.event(place.event_id)
        if found is None:
            head = (await self.stats()).head
            if head.event_id >= place.event_id:  # it came in between
                return place, None
            return head, OtherHistory(seen=place, head=head)
        there = _decode(found.raw, Head)
        if place.hash in ("", there.hash):
            return there, None
        return there, OtherHistory(seen=place, head=(await self.stats()).head)

    @contextlib.asynccontextmanager
    async def _events_of_stream(self, selection: Selection, place: Head) -> AsyncIterator[AsyncGenerator[Served]]:
        async def served() -> AsyncGenerator[Served]:
            async with contextlib.aclosing(source.aiter_sse()) as messages:
                async for message in messages:
                    if message.data:
                        yield Served(message.data.encode())

        with self._translated():
            async with aconnect_sse(
                self._http,
                "GET",
                f"{self.url}/stream",
                params=selection.parameters(),
                headers={"Last-Event-ID": str(place.event_id)},
                timeout=httpx.Timeout(_CONNECT_S, read=_DEAD_STREAM_S),
            ) as source:
                await _check(source.response)
                async with contextlib.aclosing(served()) as events:
                    yield events

    async def _post(
        self, path: str, body: bytes, media_type: str, key: str | None, retry_for_s: float
    ) -> httpx.Response:
        headers = {"Content-Type": media_type, "Idempotency-Key": _checked_key(key)}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + retry_for_s
        failures = 0
        while True:
            try:
                return await self._request("POST", path, content=body, headers=headers)
            except _Again as error:
                wait_s = max(self._wait_s(failures), error.retry_after_s)
                failures += 1
                if loop.time() + wait_s > deadline:
                    raise
            await self._sleep(wait_s)

    def _wait_s(self, failures: int) -> float:
        """Exponential back-off; between half and all of it, so that many clients do not come back at once."""
        longest = min(_FIRST_WAIT_S * 2 ** min(failures, 16), _LONGEST_WAIT_S)
        return float(longest * (0.5 + self._jitter() / 2))

    async def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        with self._translated():
            answer = await self._http.request(method, f"{self.url}{path}", **arguments)
            await _check(answer)
            return answer

    @contextlib.asynccontextmanager
    async def _stream(self, path: str, parameters: _Parameters) -> AsyncIterator[httpx.Response]:
        with self._translated():
            async with self._http.stream(
                "GET", f"{self.url}{path}", params=parameters, headers={"Accept": _NDJSON}
            ) as answer:
                await _check(answer)
                yield answer

    @contextlib.contextmanager
    def _translated(self) -> Any:
        """Turn what httpx and httpx-sse raise into ClientError."""
        try:
            yield
        except httpx.ConnectError:
            raise _Again(f"no daemon answers at {self.url}: start one with `audit-stream`") from None
        except httpx.TimeoutException:
            raise _Again(f"the daemon at {self.url} is silent") from None
        except httpx.HTTPError as error:
            raise _Again(f"the connection to {self.url} broke: {error}".removesuffix(": ")) from None
        except SSEError:
            raise ClientError(f"what answers at {self.url} is no audit-stream daemon", status=200) from None


class _Again(ClientError):
    """An error that may pass: no answer, or one of _AGAIN."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float = 0) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


async def _check(answer: httpx.Response) -> None:
    """Raise ClientError for an answer that is an error, with its problem detail (RFC 9457) if it has one."""
    if answer.is_success:
        return
    body = await answer.aread()
    try:
        message = str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        message = f"{answer.url} answered {answer.status_code} {answer.reason_phrase}".rstrip()
    if answer.status_code not in _AGAIN:
        raise ClientError(message, status=answer.status_code)
    retry_after = answer.headers.get("retry-after", "")
    raise _Again(
        message, status=answer.status_code, retry_after_s=float(retry_after) if retry_after.isdecimal() else 0.0
    )


def _next_page(answer: httpx.Response) -> _Parameters | None:
    """The parameters of the next page (RFC 8288); its path would lack what a proxy puts before ours."""
    link = answer.links.get("next")
    return None if link is None else [*parse_qsl(httpx.URL(link["url"]).query.decode("ascii"), keep_blank_values=True)]


def _decode(body: bytes, type_: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the daemon's answer is not what it should be: {error}", status=200) from None


def _checked_key(key: str | None) -> str:
    if key is None:
        return uuid.uuid4().hex
    if _KEY.fullmatch(key) is None:
        raise ClientError("Idempotency-Key: use 1 to 255 visible ASCII characters", status=400)
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
