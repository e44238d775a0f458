"""Streams over a real store: what is searched for them, in steps, is the filtered log, wherever they are cut."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_daemon import tail as tail_module
from audit_daemon.store import searches as searches_module
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.tail import HEARTBEAT, SSE, SSE_UNNAMED, Subscription, Tail
from audit_stream.filters import parse
from audit_stream.logfile.query import Criteria, PageFormat
from tests.daemon.store.rig import DEADLINE_S, build, event, until

COUNT = 300
RING = 40
SLOW = " ".join(f'"{"a" * 35}b{number}"' for number in range(20))
"""A filter that takes long for each event of which it is nearly true."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "audit.db"
    build(path, [event(number, kind=("other", "flag_swapped")[number % 3 == 0]) for number in range(COUNT - RING)])
    return path


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "_TELL_S", 0.0)


@asynccontextmanager
async def tail_of(path: Path, *, turn_s: float, heartbeat_s: float = 60) -> AsyncIterator[tuple[SqliteStore, Tail]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches_module, "TURN_S", turn_s)
        store = await SqliteStore.open(path)
    try:
        tail = Tail(store, ring_events=RING, heartbeat_s=heartbeat_s)
        yield store, tail
        tail.close()
    finally:
        await store.close()


def place_of(text: bytes, page_format: PageFormat, before: int) -> int:
    """Where a client goes on that has read this: a browser by the ids, our own by the comments too."""
    found = rb"^id: (\d+)$" if page_format is SSE_UNNAMED else rb"^(?:id|: at event):? (\d+)$"
    return int(([str(before).encode(), *re.findall(found, text, re.MULTILINE)])[-1])


def events_in(text: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb'^data: \{"event_id":(\d+),', text, re.MULTILINE)]


QUERIES = [
    "kind:flag_swapped",
    "payload.number:>100 kind:other",
    "-payload.number:7",
    "nowhere",
    "payload.number:299",
    "",
]


@settings(max_examples=12, deadline=None)
@given(
    query=st.sampled_from(QUERIES),
    turn_s=st.sampled_from([0.0, 0.001, 1.0]),
    page_format=st.sampled_from([SSE, SSE_UNNAMED]),
    seed=st.integers(0, 2**32),
)
def test_a_stream_that_is_cut_and_resumed_anywhere_is_the_filtered_log(
    path: Path, query: str, turn_s: float, page_format: PageFormat, seed: int
) -> None:
    chance = random.Random(seed)
    filter_ = parse(query, now_ms=0)
    subscription = Subscription(criteria=Criteria(filter=filter_ if query else None), page_format=page_format)

    async def run() -> None:
        async with tail_of(path, turn_s=turn_s) as (store, tail), asyncio.timeout(DEADLINE_S):
            if store.head.event_id < COUNT:  # the first example fills the ring
                for number in range(COUNT - RING, COUNT):
                    await store.append([event(number, kind=("other", "flag_swapped")[number % 3 == 0])])
                await until(lambda: tail.last_id == COUNT)
            expected = {
                "kind:flag_swapped": [n + 1 for n in range(COUNT) if n % 3 == 0],
                "payload.number:>100 kind:other": [n + 1 for n in range(101, COUNT) if n % 3],
                "-payload.number:7": [n + 1 for n in range(COUNT) if n != 7],
                "nowhere": [],
                "payload.number:299": [300],
                "": list(range(1, COUNT + 1)),
            }[query]
            seen: list[int] = []
            cursor = 0
            tail.close()  # a stream ends once it has dealt with the whole log
            ended = False
            while not ended:
                ended = True
                stream = tail.follow(cursor, subscription)
                async for chunk in stream:
                    seen += events_in(chunk)
                    cursor = place_of(chunk, page_format, cursor)
                    if chance.random() < 0.2:
                        ended = False
                        break
                await stream.aclose()
            assert seen == expected

    asyncio.run(run())


def test_a_slow_search_is_kept_alive_and_gets_on(tmp_path: Path) -> None:
    """Each event takes longer than a search's turn and than a heartbeat; nothing is found until the last."""
    path = tmp_path / "audit.db"
    last = " ".join(f"{'a' * 35}b{number}" for number in range(20))
    build(path, [*(event(n, payload={"text": "a" * 65_000}) for n in range(12)), event(payload={"text": last})])
    subscription = Subscription(criteria=Criteria(filter=parse(SLOW, now_ms=0)))

    async def run() -> None:
        async with tail_of(path, turn_s=0.001, heartbeat_s=0.005) as (_, tail), asyncio.timeout(DEADLINE_S):
            chunks = []
            async for chunk in tail.follow(0, subscription):
                chunks.append(chunk)
                if events_in(chunk):
                    break
            text = b"".join(chunks)
            assert events_in(text) == [13]
            assert HEARTBEAT in chunks
            places = [int(place) for place in re.findall(rb"^: at event (\d+)$", text, re.MULTILINE)]
            assert places
            assert places == sorted(places)

    asyncio.run(run())


def test_a_search_that_the_closing_store_ends_ends_the_stream_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    build(path, [event(n, payload={"text": "a" * 65_000}) for n in range(60)])
    subscription = Subscription(criteria=Criteria(filter=parse(SLOW, now_ms=0)))

    async def run() -> None:
        async with tail_of(path, turn_s=10) as (_, tail):
            ended = asyncio.ensure_future(anext(tail.follow(0, subscription), None))
            await until(lambda: tail.subscribers == 1)
        async with asyncio.timeout(DEADLINE_S):
            assert await ended is None

    asyncio.run(run())
