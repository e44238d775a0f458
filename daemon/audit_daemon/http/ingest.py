"""Producers' two routes, `POST /events` and `POST /events/batch`, as bare ASGI.

Litestar spends 25 µs a request on building its Request and Response, half of what a single append costs in all, so
these two routes are answered before it (docs/design.md). Everything else about them is ordinary: read the body with
a limit and a deadline, decode, append, answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import msgspec

from audit_daemon.http.asgi import Headers, Receive, Scope, Send, answer
from audit_daemon.http.problems import Problem, encode_problem, problem_headers, problem_of
from audit_daemon.http.services import Services
from audit_daemon.store.protocol import IdempotencyKey, Receipt, StoreUnavailable
from audit_stream.canonical import Prepared, canonical_bytes, splice_hash
from audit_stream.wire import (
    JSON,
    KEY_PATTERN,
    KEY_RULE,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    NDJSON,
    NDJSON_NAMES,
)

__all__ = ["Ingest"]

_THREAD_FROM_BYTES = 64 << 10
"""Bodies from this size on are decoded in a thread, so that a large batch does not hold up single events."""

_JSON_TYPE = JSON.encode()
_NDJSON_TYPES = frozenset(name.encode() for name in NDJSON_NAMES)
_KEY = re.compile(KEY_PATTERN.encode())

_JSON_HEADER = (b"content-type", _JSON_TYPE)
_REPLAYED_HEADER = (b"idempotent-replayed", b"true")


class _Summary(msgspec.Struct):
    """The answer to a batch."""

    count: int
    first_event_id: int
    last_event_id: int
    latest_hash: str


class _HungUp(Exception):
    """The producer closed the connection before its body was whole: nothing is stored, nobody is answered."""


class Ingest:
    """Answers producers. Belongs to the event loop's thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._append_seconds = services.metrics.append_seconds
        # One thread: several would only take Python's interpreter lock from one another.
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._appending = 0
        self._finishing: asyncio.Event | None = None  # set when the last append that was under way is committed

    async def finish(self) -> None:
        """Refuse appends from now on, and wait until those that are under way are committed."""
        self._finishing = asyncio.Event()
        if self._appending:
            await self._finishing.wait()

    def close(self) -> None:
        """End the decoding thread; no request may come after."""
        self._decoder.shutdown(wait=False, cancel_futures=True)

    async def one(self, scope: Scope, receive: Receive, send: Send, extra: Headers) -> None:
        """`POST /events`: 201 and the event once it is on disk."""
        await self._answer(self._one(scope, receive), send, extra)

    async def batch(self, scope: Scope, receive: Receive, send: Send, extra: Headers) -> None:
        """`POST /events/batch`: 201 and a summary once all events are on disk; all or none."""
        await self._answer(self._batch(scope, receive), send, extra)

    async def _answer(self, outcome: Awaitable[tuple[int, Headers, bytes]], send: Send, extra: Headers) -> None:
        try:
            status, headers, body = await outcome
        except _HungUp:
            return
        except Exception as error:  # noqa: BLE001 - the boundary of a request: every error becomes an answer
            problem = problem_of(error)
            self._services.metrics.refused.labels(problem.status).inc()
            status, headers, body = problem.status, problem_headers(problem), encode_problem(problem)
        await answer(send, status, headers + extra, body)

    async def _one(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        headers = _Headers(scope)
        if not headers.is_json:
            raise _unsupported(JSON)
        body = await _read_body(headers, receive, MAX_EVENT_BYTES)
        started = perf_counter()
        event = self._services.reader.read(body)
        key = None if headers.key is None else _idempotency_key(headers.key, event.source, msgspec.json.decode(body))
        receipt = await self._append((event,), key)
        self._append_seconds.observe(perf_counter() - started)
        if receipt.replayed:
            stored = self._services.store.event(receipt.first_event_id)
            if stored is None:  # somebody removed its row from the file
                raise Problem(503, f"event #{receipt.first_event_id}, which this key stored, is gone from the log")
            return 200, [_JSON_HEADER, _REPLAYED_HEADER], splice_hash(*stored)
        linked = receipt.events[0]
        return 201, [_JSON_HEADER], splice_hash(linked.canonical, linked.hash)

    async def _batch(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        headers = _Headers(scope)
        if not headers.is_json and headers.media_type not in _NDJSON_TYPES:
            raise _unsupported(f"{JSON} (an array) or {NDJSON}")
        body = await _read_body(headers, receive, MAX_BATCH_BYTES)
        started = perf_counter()
        read = self._read_ndjson if headers.media_type in _NDJSON_TYPES else self._read_array
        events, key = (
            read(body, headers.key)
            if len(body) < _THREAD_FROM_BYTES
            else await asyncio.get_running_loop().run_in_executor(self._decoder, read, body, headers.key)
        )
        receipt = await self._append(events, key)
        self._append_seconds.observe(perf_counter() - started)
        answer_headers = [_JSON_HEADER, _REPLAYED_HEADER] if receipt.replayed else [_JSON_HEADER]
        return 200 if receipt.replayed else 201, answer_headers, msgspec.json.encode(_summary(receipt))

    async def _append(self, events: Sequence[Prepared], key: IdempotencyKey | None) -> Receipt:
        if self._finishing is not None:
            raise StoreUnavailable("the daemon is stopping")
        self._appending += 1
        try:
            return await self._services.store.append(events, key)
        finally:
            self._appending -= 1
            if self._finishing is not None and not self._appending:
                self._finishing.set()

    def _read_array(self, body: bytes, key: bytes | None) -> tuple[list[Prepared], IdempotencyKey | None]:
        events = self._services.reader.read_array(body, max_events=MAX_BATCH_EVENTS)
        return events, None if key is None else _idempotency_key(key, events[0].source, msgspec.json.decode(body))

    def _read_ndjson(self, body: bytes, key: bytes | None) -> tuple[list[Prepared], IdempotencyKey | None]:
        events = self._services.reader.read_ndjson(body, max_events=MAX_BATCH_EVENTS)
        if key is None:
            return events, None
        items = [msgspec.json.decode(line) for line in body.split(b"\n") if line.strip()]
        return events, _idempotency_key(key, events[0].source, items)


class _Headers:
    """The few request headers that matter here."""

    __slots__ = ("is_json", "key", "length", "media_type")

    def __init__(self, scope: Scope) -> None:
        self.media_type = b""
        self.length: int | None = None
        self.key: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"content-type":
                self.media_type = value.partition(b";")[0].strip().lower()
            elif name == b"content-length":
                self.length = int(value)  # the HTTP parser let only digits through
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise Problem(415, "Content-Encoding: send the body uncompressed", headers=_CLOSE)
            elif name == b"idempotency-key":
                self.key = value
        self.is_json = self.media_type == _JSON_TYPE or self.media_type.endswith(b"+json")
        if self.key is not None and _KEY.fullmatch(self.key) is None:
            raise Problem(400, KEY_RULE)


async def _read_body(headers: _Headers, receive: Receive, limit: int) -> bytes:
    """The whole body, refused as soon as it is known to be over the limit: a declared length before it is read."""
    if headers.length is not None and headers.length > limit:
        raise _too_large(limit)
    chunks, size_bytes = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _HungUp
        chunks.append(message.get("body", b""))
        size_bytes += len(chunks[-1])
        if size_bytes > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


_CLOSE = {"Connection": "close"}  # or the server would go on reading what was refused


def _too_large(limit: int) -> Problem:
    return Problem(413, f"the body is larger than {limit} bytes: send smaller or fewer events", headers=_CLOSE)


def _unsupported(wanted: str) -> Problem:
    return Problem(415, f"Content-Type: send {wanted}", headers={"Accept-Post": wanted.partition(" ")[0], **_CLOSE})


def _idempotency_key(key: bytes, source: str, body: Any) -> IdempotencyKey:
    """The key's scope and the digest of what was asked: white space and key order in the body do not matter."""
    digest = hashlib.sha256(canonical_bytes({"body": body})).digest()
    return IdempotencyKey(source=source, key=key.decode("ascii"), digest=digest)


def _summary(receipt: Receipt) -> _Summary:
    return _Summary(
        count=receipt.last_event_id - receipt.first_event_id + 1,
        first_event_id=receipt.first_event_id,
        last_event_id=receipt.last_event_id,
        latest_hash=receipt.latest_hash,
    )
