"""Searches in steps: they find what one step would find, and take turns."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_daemon.store import searches as searches_module
from audit_daemon.store.searches import Searches, SearchesBusy
from audit_stream.canonical import UnlinkedEvent, prepare, splice_hash
from audit_stream.event import Event
from audit_stream.filters import Plan, matches, parse, register
from audit_stream.logfile import search as search_module
from audit_stream.logfile import series as series_module
from audit_stream.logfile.errors import SearchStopped
from audit_stream.logfile.opening import open_reader
from audit_stream.logfile.query import Criteria, EventQuery, Page
from audit_stream.logfile.search import Search, find_ids
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans
from audit_stream.timestamps import format_rfc3339_ms
from tests.daemon.store.rig import DEADLINE_S, START_MS, build, stored, until

COUNT = 400
KINDS = ["other", "request_denied", "watch_drifted", "slo_burn_started"]
SOURCES = [f"source-{number}" for number in range(60)]
WORDS = ["alpha", "beta", "gamma", "Straße"]


def history() -> list[UnlinkedEvent]:
    chance = random.Random(11)
    events = []
    for number in range(COUNT):
        time_ms = START_MS + number * 1_000 + chance.randint(-5_000, 5_000)
        events.append(
            prepare(
                kind=chance.choice(KINDS),
                source=chance.choice(SOURCES[:50] if number < 350 else SOURCES),
                payload={"n": number % 50, "text": chance.choice(WORDS)},
                timestamp=format_rfc3339_ms(time_ms),
                time_ms=time_ms,
            )
        )
    return events


class Log:
    """A file of events, open for searches."""

    def __init__(self, path: Path) -> None:
        build(path, history())
        self.events = [
            msgspec.json.decode(splice_hash(canonical, hash_), type=Event) for _, canonical, hash_ in stored(path)
        ]
        self.connection = open_reader(path)
        register(self.connection)
        self.series, self.spans = SeriesRegistry(), Spans()
        self.series.load(self.connection)
        self.spans.load(self.connection, COUNT)

    def search(self, query: EventQuery) -> Search:
        return Search(query, series=self.series, spans=self.spans, head_id=COUNT)

    def expected(self, query: EventQuery) -> list[int]:
        """All that fit, in the order of reading."""
        wanted = query.criteria
        fitting = [
            event.event_id
            for event, prepared in zip(self.events, HISTORY, strict=True)
            if (wanted.kinds is None or event.kind in wanted.kinds)
            and (wanted.sources is None or event.source in wanted.sources)
            and query.min_id <= event.event_id <= (COUNT if query.max_id is None else query.max_id)
            and (wanted.since_ms is None or (prepared.time_ms or 0) >= wanted.since_ms)
            and (wanted.filter is None or matches(wanted.filter, event))
        ]
        return fitting if query.forward else fitting[::-1]


HISTORY = history()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    log = Log(tmp_path_factory.mktemp("searches") / "audit.db")
    yield log
    log.connection.close()


@contextmanager
def made_to(plan: str, block: int) -> Iterator[None]:
    """Have searches keep to series in this way, in steps of so many events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_FIRST_BLOCK", min(block, 16))
        patch.setattr(search_module, "LARGEST_BLOCK", block)
        patch.setattr(series_module, "LOOKED_AT_ONCE", 9)
        if plan != "by cost":
            patch.setattr(search_module, "MAX_MERGED_SERIES", 7)
            patch.setattr(search_module, "_LOOKUP_EVENTS", 0 if plan == "by the index" else 10**9)
        yield


terms = st.sampled_from(
    [
        *("kind:request_*", "-kind:other", "kind:unheard_of", "severity:>=warning", "severity:info"),
        *(
            "source:source-3",
            "source:source-3,source-55",
            "source:*-1*",
            "-source:source-2*",
            "source:source-3 -source:*3",
        ),
        *("since:2026-05-28T20:30:00Z", "-since:2026-05-28T20:30:00Z", "until:2026-05-28T20:31:00Z"),
        *("id:>200", "id:5..150,300..320", "payload.n:7", "payload.n:>40", "-payload.text:beta"),
        *("alpha", "-alpha", "STRASSE", '"source-5"'),
    ]
)
filters = st.none() | st.lists(terms, max_size=3).map(lambda chosen: parse(" ".join(chosen), now_ms=START_MS))
queries = st.builds(
    EventQuery,
    criteria=st.builds(
        Criteria,
        kinds=st.none() | st.frozensets(st.sampled_from([*KINDS, "unheard_of"]), max_size=3),
        sources=st.none() | st.frozensets(st.sampled_from([*SOURCES, "nobody"]), max_size=30),
        since_ms=st.none() | st.integers(START_MS - 9_000, START_MS + COUNT * 1_000),
        filter=filters,
    ),
    min_id=st.integers(-1, COUNT + 5),
    max_id=st.none() | st.integers(0, COUNT + 5),
    limit=st.integers(1, 40) | st.sampled_from([500, 5_000]),
    forward=st.booleans(),
    newest_first=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(
    query=queries,
    plan=st.sampled_from(["by the index", "by the events", "by cost"]),
    block=st.sampled_from([1, 16, 160, 8192]),
    seed=st.integers(0, 2**32),
)
def test_a_search_in_steps_has_found_all_that_fits_up_to_where_it_is(
    log: Log, query: EventQuery, plan: str, block: int, seed: int
) -> None:
    """Whatever it is interrupted by on its way."""
    fitting, chance = log.expected(query), random.Random(seed)
    with made_to(plan, block):
        search = log.search(query)
        log.connection.set_progress_handler(lambda: search.is_divisible and chance.random() < 0.1, 50)
        page = search.page
        is_done = False
        while not is_done:
            before = page.reached
            is_done = search.step(log.connection, lambda: True)
            page = search.page
            assert page.reached >= before if query.forward else page.reached <= before
            so_far = [each for each in fitting if (each <= page.reached if query.forward else each >= page.reached)]
            assert list(page.ids) == sorted(so_far[: query.limit], reverse=query.newest_first)
        log.connection.set_progress_handler(None, 0)
    assert list(page.ids) == sorted(fitting[: query.limit], reverse=query.newest_first)
    assert page.more is (len(fitting) > query.limit)
    assert page == find_ids(log.connection, query, series=log.series, spans=log.spans, head_id=COUNT)


@settings(max_examples=40, deadline=None)
@given(criteria=queries.map(lambda query: query.criteria), seed=st.integers(0, 2**32))
def test_a_stream_of_steps_is_the_filtered_log(log: Log, criteria: Criteria, seed: int) -> None:
    """As the tail does it: each search goes on after what the one before has reached, wherever that ended."""
    chance = random.Random(seed)
    found: list[int] = []
    cursor = 0
    while cursor < COUNT:
        upto = min(COUNT, cursor + chance.choice([1, 50, 1_000]))
        query = EventQuery(
            criteria=criteria, min_id=cursor + 1, max_id=upto, limit=chance.choice([1, 50]), forward=True
        )
        search = log.search(query)
        for _ in range(chance.randrange(1, 4)):
            search.step(log.connection, lambda: True)
        found += search.page.ids
        cursor = search.page.reached
    assert found == log.expected(EventQuery(criteria=criteria, forward=True))


def crowd(count: int) -> SeriesRegistry:
    """So many sources, two kinds by turns, with an event each."""
    registry = SeriesRegistry()
    update = registry.begin()
    for number in range(count):
        update.number((KINDS[number % 2], f"source-{number:06}"))
    update.apply()
    return registry


@pytest.mark.parametrize(
    ("text", "limit", "looked_at"),
    [
        ("source:*-00001*", 100, 30_000),  # few fit: all are looked at, and their index entries merged
        ("source:nobody*", 100, 30_000),
        ("-source:source-*", 100, 30_000),
        ("source:*9 payload.n:1", 100, 30_000),
        ("source:source-* payload.n:1", 100, 6_144),  # too many: it is not looked how many there are
        ("source:source-*", 5, 2_048),
        ("severity:info", 5, 0),
        ("severity:info payload.n:1", 5, 0),
    ],
)
def test_of_many_sources_some_are_looked_at_in_each_step_and_no_more_than_it_takes_to_choose(
    monkeypatch: pytest.MonkeyPatch, text: str, limit: int, looked_at: int
) -> None:
    looks = [0]

    def counted(plan: Plan, source: str, really: Callable[[Plan, str], bool] = Plan.source_matches) -> bool:
        looks[0] += 1
        return really(plan, source)

    monkeypatch.setattr(Plan, "source_matches", counted)
    monkeypatch.setattr(search_module, "_ids", lambda *_: [])  # an empty file would do
    query = EventQuery(criteria=Criteria(filter=parse(text, now_ms=0)), limit=limit)
    search = Search(query, series=crowd(30_000), spans=Spans(), head_id=30_000)
    steps = [0]
    with closing(sqlite3.connect(":memory:")) as connection:
        while not search.step(connection, lambda: True):
            steps.append(looks[0])
    assert max(after - before for before, after in itertools.pairwise([*steps, looks[0]])) <= 2_048
    assert looks[0] == looked_at


def test_series_are_merged_in_groups_with_a_step_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[str] = []

    def merge(_: object, statement: str, __: object) -> list[int]:
        merged.append(statement)
        return []

    monkeypatch.setattr(search_module, "_ids", merge)
    query = EventQuery(criteria=Criteria(filter=parse("source:*9 payload.n:1", now_ms=0)), limit=5)
    search = Search(query, series=crowd(30_000), spans=Spans(), head_id=30_000)
    before = 0
    with closing(sqlite3.connect(":memory:")) as connection:
        while not search.step(connection, lambda: True):
            assert len(merged) - before <= 1
            before = len(merged)
    assert len(merged) == 30


def test_a_filter_that_admits_very_many_series_passes_by_the_events_once(tmp_path: Path) -> None:
    """Counted in SQLite's own steps: no more of them than where there are two sources."""
    counted = [steps_over(tmp_path, sources=sources) for sources in (2, 6_000)]
    assert all(many < 3 * few for few, many in zip(*counted, strict=True))
    with made_to("by the index", 8_192):  # which it would do otherwise
        merged = steps_over(tmp_path, sources=6_000)
    assert all(many > 3 * few for few, many in zip(counted[0], merged, strict=True))


def steps_over(folder: Path, *, sources: int, count: int = 6_000) -> list[int]:
    """SQLite's steps, in hundreds, for searches that no event fits, over a log with so many sources."""
    path = folder / f"{sources}.db"
    if not path.exists():
        time = {"timestamp": format_rfc3339_ms(START_MS), "time_ms": START_MS}
        build(
            path,
            [
                prepare(kind=KINDS[number % 4], source=f"s-{number % sources}", payload={"n": 10_000 + number}, **time)  # type: ignore[arg-type]
                for number in range(count)
            ],
        )
    steps: list[int] = []
    with closing(open_reader(path)) as connection:
        register(connection)
        series, spans = SeriesRegistry(), Spans()
        series.load(connection)
        spans.load(connection, count)

        def look() -> int:
            steps[-1] += 1
            return 0

        for text in ("severity:>=warning payload.n:7777", "severity:info word", "kind:other payload.n:1"):
            query = EventQuery(criteria=Criteria(filter=parse(text, now_ms=0)), limit=1_000)
            steps.append(0)
            connection.set_progress_handler(look, 100)
            assert not find_ids(connection, query, series=series, spans=spans, head_id=count).ids
            connection.set_progress_handler(None, 0)
    return steps


class FakeSearch:
    """So many steps, each told to the test."""

    def __init__(self, steps: int, log: list[FakeSearch] | None = None) -> None:
        self.is_divisible = False
        self.steps = 0
        self.wanted = steps
        self.log = [] if log is None else log
        self.gate: threading.Event | None = None

    def step(self, _: sqlite3.Connection, is_over: Callable[[], bool]) -> bool:
        self.log.append(self)
        self.steps += 1
        if self.gate is not None:
            self.gate.wait(DEADLINE_S)
        return self.steps >= self.wanted

    @property
    def page(self) -> Page:
        return Page(ids=[self.steps], more=self.steps < self.wanted, reached=self.steps)


def scheduled(body: Callable[[Searches], Awaitable[None]], *, threads: int = 1, deadline_s: float = 30) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S):
            scheduler = Searches(
                lambda: sqlite3.connect(":memory:", check_same_thread=False), threads=threads, deadline_s=deadline_s
            )
            try:
                await body(scheduler)
            finally:
                await scheduler.close()

    asyncio.run(run())


def test_a_short_search_waits_for_one_turn_of_each_long_one() -> None:
    async def body(searches: Searches) -> None:
        order: list[FakeSearch] = []
        long = [FakeSearch(1_000_000, order) for _ in range(12)]
        running = [asyncio.ensure_future(searches.find(each)) for each in long]
        await until(lambda: all(each.steps > 3 for each in long))
        before = len(order)
        short = FakeSearch(1, order)
        await searches.find(short)
        assert order.index(short) - before <= 2 * len(long)  # what was done while it was handed in, and one turn each
        for search in running:
            search.cancel()

    scheduled(body)


def test_long_searches_advance_together() -> None:
    async def body(searches: Searches) -> None:
        long = [FakeSearch(20) for _ in range(12)]
        running = [asyncio.ensure_future(searches.find(each)) for each in long]
        while not all(search.done() for search in running):
            steps = [each.steps for each in long]
            assert max(steps) - min(steps) <= 2
            await asyncio.sleep(0)
        assert [list((await search).ids) for search in running] == [[20]] * 12

    scheduled(body)


def test_searches_of_streams_get_every_other_turn() -> None:
    async def body(searches: Searches) -> None:
        order: list[FakeSearch] = []
        asked = FakeSearch(50, order)
        streams = [FakeSearch(10**6, order) for _ in range(40)]

        async def go_on(search: FakeSearch) -> None:
            while True:
                await searches.get_on(search)

        running = [asyncio.ensure_future(go_on(stream)) for stream in streams]
        await until(lambda: all(stream.steps for stream in streams))
        order.clear()
        await searches.find(asked)
        assert len(order) <= 110  # not 50 turns of forty others each
        for search in running:
            search.cancel()

    scheduled(body)


def test_a_search_that_waits_is_given_up_when_its_time_is_over() -> None:
    async def body(searches: Searches) -> None:
        stuck = FakeSearch(1)
        stuck.gate = threading.Event()
        running = asyncio.ensure_future(searches.get_on(stuck))
        await until(lambda: stuck.steps == 1)
        waiting = FakeSearch(1)
        with pytest.raises(SearchStopped, match="narrow it by kind"):
            await searches.find(waiting)
        assert waiting.steps == 0
        stuck.gate.set()
        await running

    scheduled(body, deadline_s=0.05)


def test_a_search_nobody_waits_for_gets_no_turn() -> None:
    async def body(searches: Searches) -> None:
        stuck, waiting = FakeSearch(1), FakeSearch(5)
        stuck.gate = threading.Event()
        first, second = (asyncio.ensure_future(searches.find(each)) for each in (stuck, waiting))
        await until(lambda: stuck.steps == 1)
        second.cancel()
        await asyncio.wait((second,))
        stuck.gate.set()
        await first
        await searches.find(FakeSearch(1))
        assert waiting.steps == 0

    scheduled(body)


def test_more_searches_than_can_be_answered_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches_module, "MAX_SEARCHES", 3)

    async def body(searches: Searches) -> None:
        long = [FakeSearch(10**6) for _ in range(3)]
        running = [asyncio.ensure_future(searches.find(each)) for each in long]
        await until(lambda: all(each.steps for each in long))
        with pytest.raises(SearchesBusy, match="ask again"):
            await searches.find(FakeSearch(1))
        running[0].cancel()
        await asyncio.wait((running[0],))
        await searches.find(FakeSearch(1))
        for search in running:
            search.cancel()

    scheduled(body)


def test_closing_ends_what_waits_and_what_runs() -> None:
    async def body(searches: Searches) -> None:
        long = [FakeSearch(10**9) for _ in range(9)]
        running = [
            asyncio.ensure_future(searches.get_on(each) if number % 2 else searches.find(each))
            for number, each in enumerate(long)
        ]
        await asyncio.sleep(0)
        await searches.close()
        ends = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(end, SearchStopped | Page) for end in ends)
        with pytest.raises(SearchStopped):
            await searches.find(FakeSearch(1))

    scheduled(body, threads=2)


def test_a_search_that_fails_says_so_to_its_caller_and_no_other() -> None:
    class Failing(FakeSearch):
        def step(self, _: sqlite3.Connection, is_over: Callable[[], bool]) -> bool:
            raise sqlite3.DatabaseError("malformed")

    async def body(searches: Searches) -> None:
        failing, fine = (asyncio.ensure_future(searches.find(each)) for each in (Failing(1), FakeSearch(3)))
        assert list((await fine).ids) == [3]
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            await failing

    scheduled(body)


def test_when_no_thread_can_be_started_searches_fail_and_later_ones_do_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def body(searches: Searches) -> None:
        with monkeypatch.context() as short_of_memory:
            short_of_memory.setattr(threading.Thread, "start", start)
            for _ in range(5):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await searches.find(FakeSearch(1))
        assert list((await searches.find(FakeSearch(3))).ids) == [3]

    scheduled(body, threads=2)


@contextmanager
def counting_tests(connection: sqlite3.Connection) -> Iterator[list[int]]:
    """Counts the rows that are looked at by a filter's exact test."""
    counted = [0]

    def is_over() -> bool:
        counted[0] += 1
        return False

    register(connection, is_over)
    yield counted
    register(connection)


def test_a_search_stops_testing_once_its_page_is_full(log: Log) -> None:
    query = EventQuery(criteria=Criteria(filter=parse("-nowhere", now_ms=0)), limit=5)
    with counting_tests(log.connection) as counted:
        assert len(find_ids(log.connection, query, series=log.series, spans=log.spans, head_id=COUNT).ids) == 5
    assert counted[0] <= 16


def test_an_interrupted_search_gets_on_one_event_at_a_time(log: Log) -> None:
    """However long its filter takes for one."""
    search = log.search(EventQuery(criteria=Criteria(filter=parse("alpha", now_ms=0)), limit=5, forward=True))
    register(log.connection, lambda: search.is_divisible)  # a turn is over before the first event
    steps = 0
    while search.page.reached < 3:
        search.step(log.connection, lambda: True)
        steps += 1
        assert steps < 20
    register(log.connection)


def test_a_registry_of_the_file_is_the_one_that_was_kept(tmp_path: Path) -> None:
    build(tmp_path / "audit.db", HISTORY)
    with closing(open_reader(tmp_path / "audit.db")) as connection:
        loaded = SeriesRegistry()
        loaded.load(connection)
    kept = SeriesRegistry()
    update = kept.begin()
    for prepared in HISTORY:
        update.number((prepared.kind, prepared.source))
    update.apply()
    assert loaded.counts() == kept.counts()
    assert loaded.tally() == kept.tally()
