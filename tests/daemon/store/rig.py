"""What the store's tests share: a real file, its events, and what must hold of it after whatever was done."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import monotonic
from typing import Any

from audit_daemon.http.events import ARRAY_ITEMS
from audit_daemon.store.sqlite import SqliteStore
from audit_stream.canonical import UnlinkedEvent
from audit_stream.chain import ChainedEvent, Head
from audit_stream.event import EventReader
from audit_stream.logfile.query import EventQuery
from audit_stream.logfile.verification import verify_file

DEADLINE_S = 20.0
START_MS = 1_780_000_000_000

_READER = EventReader(clock_ms=lambda: START_MS)


def event(
    number: int = 0,
    *,
    kind: str = "other",
    source: str = "test",
    payload: dict[str, Any] | None = None,
    timestamp: str | None = None,
) -> UnlinkedEvent:
    """An event as a producer would send it; `number` makes its payload its own."""
    fields = {"kind": kind, "source": source, "payload": {"number": number} if payload is None else payload}
    return _READER.read(json.dumps(fields | ({"timestamp": timestamp} if timestamp else {})).encode())


def events(count: int, *, first: int = 0, **fields: Any) -> list[UnlinkedEvent]:
    return [event(number, **fields) for number in range(first, first + count)]


class Follower:
    """A listener that keeps what it was told; the tail's place."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bytes, str]] = []

    def __call__(self, linked: Sequence[ChainedEvent]) -> None:
        self.told += [(each.event_id, each.canonical, each.hash) for each in linked]


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[tuple[SqliteStore, Follower]]:
    """A store on the running loop and who follows it; closed on exit."""
    store = SqliteStore(path, loop=asyncio.get_running_loop(), **options)
    follower = Follower()
    store.on_commit(follower)
    try:
        yield store, follower
    finally:
        await store.close()


def in_store(path: Path, body: Callable[[SqliteStore, Follower], Awaitable[None]], **options: Any) -> None:
    """Run `body` with an open store, on an event loop of its own."""

    async def run() -> None:
        async with opened(path, **options) as (store, follower):
            await body(store, follower)

    asyncio.run(run())


def build(path: Path, *batches: Sequence[UnlinkedEvent]) -> Head:
    """Make a file with these commits; returns its head."""

    async def run() -> Head:
        async with opened(path) as (store, _):
            for batch in batches:
                await store.append(batch)
            return store.head

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; AssertionError when it does not come true."""
    deadline = monotonic() + DEADLINE_S
    while not condition():
        assert monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.002)


async def told_all(store: SqliteStore, follower: Follower) -> None:
    """Wait until the follower has been told of the last event."""
    await until(lambda: bool(follower.told) and follower.told[-1][0] >= store.head.event_id)


def stored(path: Path) -> list[tuple[int, bytes, str]]:
    """The file's events as another process sees them: (event_id, canonical, hash)."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT event_id, canonical, hash FROM events ORDER BY event_id").fetchall()
    return [(event_id, canonical, hash_) for event_id, canonical, hash_ in rows]


def file_head(path: Path) -> Head:
    """The head row as another process sees it."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        event_id, hash_ = connection.execute("SELECT event_id, hash FROM head").fetchone()
    return Head(event_id, hash_)


def assert_whole(path: Path, head: Head) -> None:
    """The file verifies, and ends at `head`."""
    report = verify_file(path, acknowledged=head)
    assert (report.valid, report.reason) == (True, None)
    assert report.head == head


async def served(store: SqliteStore, query: EventQuery) -> list[dict[str, Any]]:
    """What a query answers, decoded."""
    page = await store.find(query)
    body = b",".join([chunk async for chunk in store.read(page.ids, ARRAY_ITEMS) if chunk])
    decoded: list[dict[str, Any]] = json.loads(b"[%b]" % body)
    return decoded
