"""Queries against a brute force over the same events."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_daemon.http.events import ARRAY_ITEMS, LINES
from audit_daemon.store.packed_ids import PackedIds
from audit_daemon.store.sqlite import SqliteStore
from audit_daemon.tail import SSE, SSE_UNNAMED
from audit_stream.canonical import UnlinkedEvent, prepare, splice_hash
from audit_stream.filters import parse
from audit_stream.logfile.errors import SearchStopped
from audit_stream.logfile.query import Criteria, EventQuery, PageFormat
from audit_stream.timestamps import format_rfc3339_ms
from tests.daemon.store.rig import (
    DEADLINE_S,
    START_MS,
    Follower,
    build,
    event,
    events,
    in_store,
    opened,
    served,
    stored,
)

COUNT = 2_300
KINDS = ["other", "request_denied", "request_allowed", "watch_drifted"]
SOURCES = ["a", "b", "c", "rare"]


def _history() -> list[UnlinkedEvent]:
    """Two full spans and an open one: times nearly in order, some far off, some missing, and some spans without any."""
    chance = random.Random(7)
    history = []
    for number in range(COUNT):
        time_ms: int | None = START_MS + number * 1_000 + chance.randint(-5_000, 5_000)
        if chance.random() < 0.01:
            time_ms = START_MS - chance.randint(0, 10**9)
        if chance.random() < 0.1:
            time_ms = None
        history.append(
            prepare(
                kind=chance.choice(KINDS),
                source="rare" if number in (3, 1_500) else chance.choice(SOURCES[:3]),
                payload={"n": number},
                timestamp="some day" if time_ms is None else format_rfc3339_ms(time_ms),
                time_ms=time_ms,
            )
        )
    return history


HISTORY = _history()


class Rig:
    """An open store on a loop in a thread of its own, so that one store serves all examples."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.store = self.run(SqliteStore.open(path))
        self.run(self.store.append(HISTORY))

    def run(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(20)

    def close(self) -> None:
        self.run(self.store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rig = Rig(tmp_path_factory.mktemp("queries") / "audit.db")
    yield rig
    rig.close()


def expected(query: EventQuery) -> tuple[list[int], bool]:
    """What the query means, event by event."""
    wanted = query.criteria
    fitting = [
        event_id
        for event_id, prepared in enumerate(HISTORY, 1)
        if (wanted.kinds is None or prepared.kind in wanted.kinds)
        and (wanted.sources is None or prepared.source in wanted.sources)
        and query.min_id <= event_id <= (COUNT if query.max_id is None else query.max_id)
        and (wanted.since_ms is None or (prepared.time_ms is not None and prepared.time_ms >= wanted.since_ms))
        and (wanted.until_ms is None or (prepared.time_ms is not None and prepared.time_ms <= wanted.until_ms))
    ]
    read = fitting if query.forward else fitting[::-1]
    cut = sorted(read[: query.limit], reverse=query.newest_first)
    return cut, len(fitting) > query.limit


def names(values: Sequence[str]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.frozensets(st.sampled_from([*values, "unheard_of"]), max_size=4)


ids = st.integers(-1, COUNT + 5) | st.sampled_from([1, 1_024, 1_025, 2_048, 2_049, COUNT, 2**63 - 1])
times = st.none() | st.integers(START_MS - 6_000, START_MS + COUNT * 1_000) | st.integers(-(2**50), 2**50)
queries = st.builds(
    EventQuery,
    criteria=st.builds(Criteria, kinds=names(KINDS), sources=names(SOURCES), since_ms=times, until_ms=times),
    min_id=ids,
    max_id=st.none() | ids,
    limit=st.integers(1, 40) | st.sampled_from([100, 1_000, 1_001, 5_000, 100_000]),
    forward=st.booleans(),
    newest_first=st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(query=queries)
def test_a_query_finds_what_a_brute_force_finds(rig: Rig, query: EventQuery) -> None:
    page = rig.run(rig.store.find(query))
    assert (list(page.ids), page.more) == expected(query)


@settings(max_examples=40, deadline=None)
@given(query=queries)
def test_a_page_is_the_stored_bytes_with_their_hash_in_the_order_that_was_found(rig: Rig, query: EventQuery) -> None:
    async def lines() -> bytes:
        page = await rig.store.find(query)
        return b"".join([chunk async for chunk in rig.store.read(page.ids, LINES)])

    file = {event_id: splice_hash(canonical, hash_) for event_id, canonical, hash_ in stored(rig.store.path)}
    assert rig.run(lines()) == b"".join(file[event_id] + b"\n" for event_id in expected(query)[0])


@pytest.mark.parametrize("ids", [range(1, 6), range(6, 1, -1), [2, 7, 2_000], [2_000, 7, 2], range(1, 1_202), [5]])
def test_ids_are_read_in_their_order_in_every_layout(rig: Rig, ids: Sequence[int]) -> None:
    file = {event_id: splice_hash(canonical, hash_) for event_id, canonical, hash_ in stored(rig.store.path)}

    async def body(page_format: PageFormat) -> list[bytes]:
        return [chunk async for chunk in rig.store.read(ids, page_format)]

    assert [each["event_id"] for each in json.loads(b"[%b]" % b",".join(rig.run(body(ARRAY_ITEMS))))] == list(ids)
    assert b"".join(rig.run(body(LINES))) == b"".join(file[each] + b"\n" for each in ids)
    unnamed = b"".join(b"id: %d\ndata: %b\n\n" % (each, file[each]) for each in ids)
    assert b"".join(rig.run(body(SSE_UNNAMED))) == unnamed
    named = b"".join(
        b"event: %b\nid: %d\ndata: %b\n\n" % (HISTORY[each - 1].kind.encode(), each, file[each]) for each in ids
    )
    assert b"".join(rig.run(body(SSE))) == named


def test_one_event_is_its_bytes_and_hash_and_none_where_there_is_none(rig: Rig) -> None:
    async def look_up(event_id: int) -> Any:
        return rig.store.event(event_id)

    for event_id, canonical, hash_ in stored(rig.store.path)[::500]:
        assert rig.run(look_up(event_id)) == (canonical, hash_)
    assert [rig.run(look_up(event_id)) for event_id in (0, -1, COUNT + 1, 2**63 - 1)] == [None] * 4


@pytest.mark.parametrize("forward", [True, False])
def test_more_series_than_one_statement_merges_are_found_in_order(tmp_path: Path, forward: bool) -> None:
    """A few hundred series, of which a query wants most."""
    chance = random.Random(3)
    sources = [f"source-{chance.randrange(350)}" for _ in range(1_500)]
    wanted = frozenset(f"source-{number}" for number in range(0, 350, 4)) | {
        f"source-{number}" for number in range(1, 350, 2)
    }

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(number, source=source) for number, source in enumerate(sources)])
        fitting = [event_id for event_id, source in enumerate(sources, 1) if source in wanted]
        for limit in (1, 50, 700, 5_000):
            page = await store.find(EventQuery(criteria=Criteria(sources=wanted), limit=limit, forward=forward))
            assert list(page.ids) == (fitting[:limit] if forward else fitting[-limit:])
            assert page.more is (len(fitting) > limit)

    in_store(tmp_path / "audit.db", body)


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    times_ms=st.lists(st.none() | st.integers(0, 50) | st.integers(-(2**45), 2**45), min_size=1, max_size=30),
)
def test_times_are_found_in_spans_of_any_shape_also_after_reopening(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, times_ms: list[int | None]
) -> None:
    """Each drawn time stands for a run of 100 events, so that spans hold few or no times, and late ones."""
    path = tmp_path_factory.mktemp("spans") / "audit.db"
    by_event = [time_ms for time_ms in times_ms for _ in range(100)]
    since = data.draw(st.sampled_from([time for time in times_ms if time is not None] or [0])) + data.draw(
        st.integers(-1, 1)
    )
    until = since + data.draw(st.sampled_from([0, 1, 40, 2**46]))
    fitting = [n for n, time_ms in enumerate(by_event, 1) if time_ms is not None and since <= time_ms <= until]
    drafts = [prepare(kind="other", source="t", payload={}, timestamp="t", time_ms=time_ms) for time_ms in by_event]

    async def ask(store: SqliteStore, _: Follower) -> None:
        query = EventQuery(criteria=Criteria(since_ms=since, until_ms=until), limit=100_000, forward=True)
        assert list((await store.find(query)).ids) == fitting

    async def fill_and_ask(store: SqliteStore, follower: Follower) -> None:
        for start in range(0, len(drafts), 700):
            await store.append(drafts[start : start + 700])
        await ask(store, follower)

    in_store(path, fill_and_ask)
    in_store(path, ask)


def test_queries_beside_a_busy_writer_see_a_gapless_past(tmp_path: Path) -> None:
    async def body(store: SqliteStore, _: Follower) -> None:
        async def write() -> None:
            for start in range(0, 6_000, 300):
                await store.append(events(300, first=start, source=f"s-{start % 7}"))

        async def read() -> None:
            while not writing.done():
                known = store.head.event_id
                page = await store.find(EventQuery(criteria=Criteria(since_ms=START_MS), limit=100_000, forward=True))
                assert list(page.ids) == list(range(1, len(page.ids) + 1))
                assert len(page.ids) >= known
                assert len(await served(store, EventQuery(limit=10))) == min(10, store.head.event_id)
                assert sum(store.counts().values()) >= known

        writing = asyncio.ensure_future(write())
        await asyncio.gather(writing, *(read() for _ in range(3)))
        assert store.head.event_id == 6_000

    in_store(tmp_path / "audit.db", body)


HOSTILE = " ".join(f'"{"a" * 35}b{number}"' for number in range(99))
"""A filter that takes a third of a second for each event of which it is nearly true."""


def hostile_log(path: Path) -> EventQuery:
    build(path, [event(n, payload={"text": "a" * 65_000}) for n in range(200)])
    return EventQuery(criteria=Criteria(filter=parse(HOSTILE, now_ms=0)))


def test_searches_that_nobody_waits_for_any_more_make_way(tmp_path: Path) -> None:
    query = hostile_log(tmp_path / "audit.db")

    async def body(store: SqliteStore, _: Follower) -> None:
        hung_up = [asyncio.ensure_future(store.find(query)) for _ in range(12)]
        await asyncio.sleep(0)
        for search in hung_up:
            search.cancel()
        await asyncio.gather(*hung_up, return_exceptions=True)
        async with asyncio.timeout(DEADLINE_S):
            assert len((await store.find(EventQuery(criteria=Criteria(since_ms=0)))).ids) == 200

    in_store(tmp_path / "audit.db", body)


def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = hostile_log(tmp_path / "audit.db")
    monkeypatch.setattr("audit_daemon.store.searches.DEADLINE_S", 0.2)

    async def body(store: SqliteStore, _: Follower) -> None:
        with pytest.raises(SearchStopped, match="narrow it by kind"):
            await store.find(query)

    in_store(tmp_path / "audit.db", body)


def test_closing_ends_searches_that_run(tmp_path: Path) -> None:
    query = hostile_log(tmp_path / "audit.db")

    async def run() -> None:
        async with opened(tmp_path / "audit.db") as (store, _):
            searches = [asyncio.ensure_future(store.find(query)) for _ in range(9)]
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            ends = await asyncio.gather(*searches, return_exceptions=True)
        assert all(isinstance(end, SearchStopped | asyncio.CancelledError) for end in ends)

    asyncio.run(run())


def test_a_chunk_is_bounded_by_bytes_and_holds_one_event_at_least(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    build(path, [event(n, payload={"text": "a" * 60_000}) for n in range(300)])

    async def body(store: SqliteStore, _: Follower) -> None:
        ids = range(1, 301)
        chunks = [chunk async for chunk in store.read(ids, PageFormat("{event}\n"))]
        assert max(map(len, chunks)) < 300_000
        assert sum(chunk.count(b"\n") for chunk in chunks) == 300

    in_store(path, body)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("step", [1, 2], ids=["a range", "with gaps"])
def test_a_page_that_is_not_small_is_not_read_to_find_that_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, newest_first: bool
) -> None:
    """It would be read on the event loop's thread: 32 ms for 200 of the largest events."""

    def read(*_: object) -> bytes:
        raise AssertionError("it is read")

    async def body(store: SqliteStore, _: Follower) -> None:
        await store.append([event(payload={"text": "x" * 40_000}) for _ in range(12)])
        small, large = list(range(1, 6, step)), list(range(1, 13, step))
        if newest_first:
            small, large = small[::-1], large[::-1]
        page = store.read_small(small[:3], LINES)
        assert page is not None
        assert [json.loads(line)["event_id"] for line in page.splitlines()] == small[:3]
        assert store.read_small([], LINES) == b""
        monkeypatch.setattr("audit_daemon.store.sqlite.fetch_events", read)
        assert store.read_small(large, LINES) is None

    in_store(tmp_path / "audit.db", body)


def test_the_ids_of_a_long_answer_are_packed_and_read_in_their_order(tmp_path: Path) -> None:
    """A reader that has stalled holds them: as a list of integers they were 4 MB for each."""

    async def body(store: SqliteStore, _: Follower) -> None:
        for first in range(0, 5_000, 500):
            await store.append([event(number, source=("a", "b")[number % 2]) for number in range(first, first + 500)])
        for criteria in (Criteria(sources=frozenset({"a"})), Criteria(filter=parse("number -source:b", now_ms=0))):
            page = await store.find(EventQuery(criteria=criteria, limit=100_000, forward=True))
            assert isinstance(page.ids, PackedIds) or not page.ids
        page = await store.find(EventQuery(criteria=Criteria(sources=frozenset({"a"})), limit=100_000, forward=True))
        lines = b"".join([chunk async for chunk in store.read(page.ids, LINES)])
        assert [json.loads(line)["event_id"] for line in lines.splitlines()] == list(range(1, 5_001, 2))

    in_store(tmp_path / "audit.db", body)
