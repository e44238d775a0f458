"""Producers' two routes, `POST /events` and `POST /events/batch`, as bare ASGI.

Litestar spends 25 µs a request on building its Request and Response, half of what a single append costs in all, so
these two routes are answered before it (docs/design.md). Everything else about them is ordinary: read the body with
a limit and a deadline, decode, append, answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import msgspec

from audit_daemon.http.app_state import AppState
from audit_daemon.http.asgi import WHOLE, Headers, Receive, Scope, Send, answer
from audit_daemon.http.bodies import CLOSE, Body, HungUp
from audit_daemon.http.problems import Problem, encode_problem, problem_headers, problem_of
from audit_daemon.store.protocol import AppendResult, IdempotencyKey, StoreUnavailable
from audit_stream.answers import BatchReceipt
from audit_stream.canonical import UnlinkedEvent, canonical_bytes, splice_hash
from audit_stream.event import Step
from audit_stream.numbers import read_float
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

__all__ = ["Decoding", "Ingest"]

_THREAD_FROM_BYTES = 64 << 10
"""Bodies from this size on are decoded in a thread, so that a large batch does not hold up single events."""

_SINGLE_EVENTS_SHARE = 8
"""Batches leave this part of the budget free, an eighth, so that single events get in whatever batches do."""

_JSON_TYPE = JSON.encode()
_NDJSON_TYPES = frozenset(name.encode() for name in NDJSON_NAMES)
_KEY = re.compile(KEY_PATTERN.encode())

_content = msgspec.json.Decoder(float_hook=read_float)

_JSON_HEADER = (b"content-type", _JSON_TYPE)
_REPLAYED_HEADER = (b"idempotent-replayed", b"true")


class Ingest:
    """Answers producers. Belongs to the event loop's thread."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._append_seconds = state.metrics.append_seconds
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
        await self._answer(self._one(scope, receive), scope, send, extra)

    async def batch(self, scope: Scope, receive: Receive, send: Send, extra: Headers) -> None:
        """`POST /events/batch`: 201 and a summary once all events are on disk; all or none."""
        await self._answer(self._batch(scope, receive), scope, send, extra)

    async def _answer(
        self, outcome: Awaitable[tuple[int, Headers, bytes]], scope: Scope, send: Send, extra: Headers
    ) -> None:
        try:
            status, headers, body = await outcome
        except HungUp:
            return
        except Exception as error:  # noqa: BLE001 - the boundary of a request: every error becomes an answer
            problem = problem_of(error)
            self._state.metrics.refused.labels(problem.status).inc()
            await answer(send, problem.status, problem_headers(problem) + extra, encode_problem(problem))
            return
        send_whole = scope["state"].get(WHOLE)
        if send_whole is None or not send_whole(status, headers + extra, body):
            await answer(send, status, headers + extra, body)

    async def _one(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        headers = _Headers(scope)
        if not headers.is_json:
            raise _unsupported(JSON)
        body = Body(self._state.budget)
        try:
            receipt = await self._append_one(await body.read(receive, headers.length, MAX_EVENT_BYTES), headers.key)
        finally:
            body.release()
        if receipt.replayed:
            stored = self._state.store.event(receipt.first_event_id)
            if stored is None:  # somebody removed its row from the file
                raise Problem(503, f"event #{receipt.first_event_id}, which this key stored, is gone from the log")
            return 200, [_JSON_HEADER, _REPLAYED_HEADER], splice_hash(*stored)
        linked = receipt.events[0]
        return 201, [_JSON_HEADER], splice_hash(linked.canonical, linked.hash)

    async def _batch(self, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        headers = _Headers(scope)
        if not headers.is_json and headers.media_type not in _NDJSON_TYPES:
            raise _unsupported(f"{JSON} (an array) or {NDJSON}")
        budget = self._state.budget
        body = Body(budget, keep_free=budget.limit_bytes // _SINGLE_EVENTS_SHARE)
        reader = self._state.reader
        read = reader.ndjson_steps if headers.media_type in _NDJSON_TYPES else reader.array_steps
        try:
            content = await body.read(receive, headers.length, MAX_BATCH_BYTES)
            size_bytes, steps = len(content), read(content, max_events=MAX_BATCH_EVENTS)
            del content  # it is the steps' alone, and gone with the last of them
            receipt = await self._append_batch(steps, size_bytes, body, headers.key)
        finally:
            body.release()
        answer_headers = [_JSON_HEADER, _REPLAYED_HEADER] if receipt.replayed else [_JSON_HEADER]
        return 200 if receipt.replayed else 201, answer_headers, msgspec.json.encode(_batch_receipt(receipt))

    async def _append_one(self, body: bytes | bytearray, key: bytes | None) -> AppendResult:
        started = perf_counter()
        if len(body) < _THREAD_FROM_BYTES:
            event, idempotency_key = self._read_one(body, key)
        else:
            event, idempotency_key = await asyncio.get_running_loop().run_in_executor(
                self._decoder, self._read_one, body, key
            )
        receipt = await self._append((event,), idempotency_key)
        self._append_seconds.observe(perf_counter() - started)
        return receipt

    def _read_one(self, body: bytes | bytearray, key: bytes | None) -> tuple[UnlinkedEvent, IdempotencyKey | None]:
        event = self._state.reader.read(body)
        return event, None if key is None else _idempotency_key(key, event.source, _content.decode(body))

    async def _append_batch(
        self, steps: Iterator[Step], size_bytes: int, body: Body, key: bytes | None
    ) -> AppendResult:
        """Decode, in turns with other batches when there is much of it, and append."""
        started = perf_counter()
        decoding = Decoding(steps, keyed=key is not None)
        if size_bytes < _THREAD_FROM_BYTES:
            while decoding.step():
                pass
        else:
            loop = asyncio.get_running_loop()
            while await loop.run_in_executor(self._decoder, decoding.step):
                body.hold(decoding.size_bytes)
        receipt = await self._append(decoding.events, decoding.idempotency_key(key))
        self._append_seconds.observe(perf_counter() - started)
        return receipt

    async def _append(self, events: Sequence[UnlinkedEvent], key: IdempotencyKey | None) -> AppendResult:
        if self._finishing is not None:
            raise StoreUnavailable("the daemon is stopping")
        self._appending += 1
        try:
            return await self._state.store.append(events, key)
        finally:
            self._appending -= 1
            if self._finishing is not None and not self._appending:
                self._finishing.set()


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
                raise Problem(415, "Content-Encoding: send the body uncompressed", headers=CLOSE)
            elif name == b"idempotency-key":
                self.key = value
        self.is_json = self.media_type == _JSON_TYPE or self.media_type.endswith(b"+json")
        if self.key is not None and _KEY.fullmatch(self.key) is None:
            raise Problem(400, KEY_RULE)


def _unsupported(wanted: str) -> Problem:
    return Problem(415, f"Content-Type: send {wanted}", headers={"Accept-Post": wanted.partition(" ")[0], **CLOSE})


def _idempotency_key(key: bytes, source: str, body: Any) -> IdempotencyKey:
    """The key's scope and the digest of what was asked: white space and key order in the body do not matter."""
    digest = hashlib.sha256(canonical_bytes({"body": body})).digest()
    return IdempotencyKey(source=source, key=key.decode("ascii"), digest=digest)


class Decoding:
    """A batch that is being decoded, step by step; `keyed` ones with the digest that `_idempotency_key` would give."""

    def __init__(self, steps: Iterator[Step], *, keyed: bool) -> None:
        self._steps = steps
        self._digest = hashlib.sha256() if keyed else None
        self.events: list[UnlinkedEvent] = []
        self.size_bytes = 0

    def step(self) -> bool:
        """Take a step; False when there are no more. Raises EventRejected."""
        step = next(self._steps, None)
        if step is None:
            return False
        if self._digest is not None:
            canonical = canonical_bytes({"body": _content.decode(b"[%b]" % step.items)})
            before = b"," if self.events else _BEFORE_ITEMS
            self._digest.update(before + canonical[len(_BEFORE_ITEMS) : -len(_AFTER_ITEMS)])
        self.events += step.events
        self.size_bytes += sum(len(event.middle) + len(event.tail) for event in step.events)
        return True

    def idempotency_key(self, key: bytes | None) -> IdempotencyKey | None:
        """The key of the whole batch, once there are no more steps."""
        if key is None or self._digest is None:
            return None
        self._digest.update(_AFTER_ITEMS)
        return IdempotencyKey(source=self.events[0].source, key=key.decode("ascii"), digest=self._digest.digest())


_BEFORE_ITEMS, _AFTER_ITEMS = b'{"body":[', b"]}"


def _batch_receipt(receipt: AppendResult) -> BatchReceipt:
    return BatchReceipt(
        count=receipt.last_event_id - receipt.first_event_id + 1,
        first_event_id=receipt.first_event_id,
        last_event_id=receipt.last_event_id,
        latest_hash=receipt.latest_hash,
    )
