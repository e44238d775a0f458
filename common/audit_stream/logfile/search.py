"""Which events a query selects.

A search's cost depends on what it returns: ids come from the series index, from id arithmetic or from the spans that
overlap a time, never from a scan of the whole log. Terms on payloads and free text scan what those leave over, and
where a query admits so many series that reading their index entries would cost more than the events themselves, it
goes through the events.

A search is made of steps, so that many take turns, and one whose reader is gone ends. `Search.step` goes on until it
is done or its time is over, and what it has found so far is an answer too: all that fits up to `Page.reached`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import msgspec

from audit_stream.filters import Plan, plan
from audit_stream.logfile.query import EVERYTHING, EventQuery, Page
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans

__all__ = ["MAX_MERGED_SERIES", "Search", "find_ids"]

MAX_MERGED_SERIES = 100
"""Series in one compound SELECT; SQLite allows 500 terms, and its merge takes longer the more there are."""

_FIRST_BLOCK, LARGEST_BLOCK = 16, 8192
"""Candidates tested at a time: few at first, since the newest often do, then more; between blocks a search can stop."""

_BLOCK_S = 0.02
"""Blocks grow while they take less and shrink when they take much more: a filter can be written that takes a third of
a second for one event."""

_LOOKUP_EVENTS = 6
"""Looking up where a series goes on in the index costs about as much as passing by so many events."""


def find_ids(
    connection: sqlite3.Connection,
    query: EventQuery,
    *,
    series: SeriesRegistry,
    spans: Spans,
    head_id: int,
) -> Page:
    """The ids that a query selects, in the order of the answer."""
    search = Search(query, series=series, spans=spans, head_id=head_id)
    while not search.step(connection):
        pass
    return search.page


class Search:
    """A query on its way through the log. Belongs to one thread at a time.

    The connection needs `filters.register` for queries with a filter. One that interrupts a statement after some time
    must do so only while the search `is_divisible`: it then goes on with fewer events at a time.
    """

    def __init__(self, query: EventQuery, *, series: SeriesRegistry, spans: Spans, head_id: int) -> None:
        """`head_id` is the last event that is searched."""
        self.is_divisible = False
        self._query = query
        self._registry = series
        self._spans = spans
        self._high = head_id if query.max_id is None else min(head_id, query.max_id)
        self._head_id = head_id
        self._way: _Way | None = None
        self._found: list[int] = []
        self._is_done = False
        self._block = _FIRST_BLOCK

    def step(self, connection: sqlite3.Connection, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Search at least one block, and on until `is_over()`. True when nothing is left to do."""
        if self._query.criteria == EVERYTHING:
            return True
        if self._way is None:
            self._way = _Way(
                self._query, registry=self._registry, spans=self._spans, high=self._high, head=self._head_id
            )
        while not self._is_done:
            self._search_block(connection, self._way)
            if is_over():
                break
        return self._is_done

    @property
    def page(self) -> Page:
        """What has been found so far."""
        query = self._query
        if query.criteria == EVERYTHING:
            return _latest(query, self._high)
        more = len(self._found) > query.limit
        found = list(self._found[: query.limit])
        if more:
            following = self._found[query.limit]  # the first that is not on the page
            reached = following - 1 if query.forward else following + 1
        elif self._is_done or self._way is None:
            low, high = query.min_id, max(self._high, query.min_id - 1)
            done, undone = (high, low - 1) if query.forward else (low, high + 1)
            reached = done if self._is_done and low <= high else undone
        else:
            reached = self._way.reached
        if query.newest_first == query.forward:  # read in one direction, answered in the other
            found.reverse()
        return Page(ids=found, more=more or not self._is_done, reached=reached)

    def _search_block(self, connection: sqlite3.Connection, way: _Way) -> None:
        if not way.prepare(connection):
            return
        began = perf_counter()
        self.is_divisible = self._block > 1 and way.tests
        try:
            self._found += way.test(connection, self._block)
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted" or not self.is_divisible:
                raise
            self._block //= 2
            return
        finally:
            self.is_divisible = False
        self._is_done = way.is_done or len(self._found) > self._query.limit
        took_s = perf_counter() - began
        if took_s < _BLOCK_S:
            self._block = min(self._block * 4, LARGEST_BLOCK)
        elif took_s > 4 * _BLOCK_S:
            self._block = max(self._block // 4, 1)


def _latest(query: EventQuery, high: int) -> Page:
    """The ids of a query that admits every event: they have no gaps, so nothing need be read."""
    low = max(query.min_id, 1)
    if query.forward:
        ids = range(low, min(high, low + query.limit - 1) + 1)
    else:
        ids = range(max(low, high - query.limit + 1), high + 1)
    more = high - low + 1 > query.limit
    last, end = (-1, high) if query.forward else (0, query.min_id)
    return Page(ids=ids[::-1] if query.newest_first else ids, more=more, reached=ids[last] if more else end)


class _Way:
    """Where a query's events can lie, what is left to test of each, and how far the search has come."""

    def __init__(self, query: EventQuery, *, registry: SeriesRegistry, spans: Spans, high: int, head: int) -> None:
        self._query = query
        self._forward = query.forward
        self._order = "ASC" if query.forward else "DESC"
        self._plan = None if query.criteria.filter is None else plan(query.criteria.filter)
        self._since_ms, self._until_ms = self._time_bounds()
        self._ranges = self._id_ranges(spans, high, head)
        self.reached = query.min_id - 1 if query.forward else high + 1
        self._where, self._values = self._residual()
        self._series: list[int] | None = None  # whose index entries are merged
        self._gathered: list[int] = []  # what they gave, up to the id `_gathered_to`
        self._gathered_to = 0
        self._merged = 0  # of these series, in the gathering under way
        self._series_terms: tuple[str, tuple[object, ...]] = ("", ())  # what each event's series must be like
        self._choosing = self._choose_series(registry, head)
        self._gathers = 256 if self._where else min(query.limit + 1, LARGEST_BLOCK)

    @property
    def tests(self) -> bool:
        """Whether events are looked at one by one."""
        return bool(self._where or self._series_terms[0])

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to search."""
        return not self._ranges

    def prepare(self, connection: sqlite3.Connection) -> bool:
        """Do some of what comes before testing; True when there is nothing left of it for the next candidates."""
        return next(self._choosing, True) is True and self._gather(connection)

    def _gather(self, connection: sqlite3.Connection) -> bool:
        """Have candidates to test, where they come from the index: from one group of series at a time.

        Takes as long for one candidate as for thousands. True when there are some.
        """
        if self._series is None or not self._ranges or (self._gathered and not self._merged):
            return True
        low, high = self._ranges[0]
        some = self._series[self._merged : self._merged + MAX_MERGED_SERIES]
        self._gathered += self._merge(connection, some, low, high, self._gathers)
        self._merged += len(some)
        if self._merged < len(self._series):
            return False
        self._merged = 0
        if len(self._series) > MAX_MERGED_SERIES:
            self._gathered.sort(reverse=not self._forward)
        del self._gathered[self._gathers :]
        self._gathered_to = high if self._forward else low
        if len(self._gathered) == self._gathers:
            self._gathered_to = self._gathered[-1]
        self._gathers = min(2 * self._gathers, LARGEST_BLOCK)
        return True

    def test(self, connection: sqlite3.Connection, size: int) -> Sequence[int]:
        """Those that fit among the next candidates, about `size` of them, in the order of reading."""
        if not self._ranges:
            return ()
        if self._series is not None:
            size = size if self._where else len(self._gathered)
            candidates: Sequence[int] = self._gathered[:size]
            last = self._gathered_to if len(self._gathered) <= size else candidates[-1]
        else:
            candidates, last = self._next_ids(size)
            if self._series_terms[0]:
                candidates = self._of_series(connection, min(candidates[0], last), max(candidates[0], last))
        found = self._matching(connection, candidates) if self._where and len(candidates) else candidates
        del self._gathered[:size]
        self._go_on_after(last)
        return found

    def _next_ids(self, size: int) -> tuple[range, int]:
        low, high = self._ranges[0]
        if self._forward:
            last = min(high, low + size - 1)
            return range(low, last + 1), last
        last = max(low, high - size + 1)
        return range(high, last - 1, -1), last

    def _go_on_after(self, last: int) -> None:
        low, high = self._ranges[0]
        self.reached = last
        rest = (last + 1, high) if self._forward else (low, last - 1)
        self._ranges[:1] = [rest] if rest[0] <= rest[1] else []

    def _time_bounds(self) -> tuple[int | None, int | None]:
        criteria = self._query.criteria
        since = [criteria.since_ms, self._plan.since_ms if self._plan else None]
        until = [criteria.until_ms, self._plan.until_ms if self._plan else None]
        return (
            max((bound for bound in since if bound is not None), default=None),
            min((bound for bound in until if bound is not None), default=None),
        )

    def _id_ranges(self, spans: Spans, high: int, head: int) -> list[tuple[int, int]]:
        """Inclusive id ranges to read, in reading order."""
        low = max(self._query.min_id, (self._plan.min_id if self._plan else None) or 1)
        if self._plan is not None and self._plan.max_id is not None:
            high = min(high, self._plan.max_id)
        ranges = [(low, high)]
        if self._since_ms is not None or self._until_ms is not None:
            ranges = [
                (max(low, first), min(high, last)) for first, last in spans.ranges(self._since_ms, self._until_ms, head)
            ]
        ranges = [(first, last) for first, last in ranges if first <= last]
        return ranges if self._forward else ranges[::-1]

    def _residual(self) -> tuple[str, tuple[object, ...]]:
        """What the ranges and the series leave to test on each candidate, as SQL."""
        terms: list[str] = []
        values: list[object] = []
        if self._since_ms is not None:
            terms.append("time_ms >= ?")
            values.append(self._since_ms)
        if self._until_ms is not None:
            terms.append("time_ms <= ?")
            values.append(self._until_ms)
        filter_plan: Plan | None = self._plan
        if filter_plan is not None and filter_plan.where:
            terms.append(f"({filter_plan.where})")
            values += filter_plan.params
        return " AND ".join(terms), tuple(values)

    def _choose_series(self, registry: SeriesRegistry, head: int) -> Iterator[None]:
        """Decide how to keep to the series that the query admits: by the index, or event by event.

        Merging series costs a look-up for each in every block, going through the events costs each of them. Which
        sources fit a pattern is looked up only where that costs less than the events, some sources at a time, and
        only until so many fit that the events cost less: with more of them that does not change any more.
        """
        criteria, filter_plan = self._query.criteria, self._plan
        all_kinds = registry.kinds()
        kinds = [
            kind
            for kind in all_kinds
            if (criteria.kinds is None or kind in criteria.kinds)
            and (filter_plan is None or filter_plan.kind_matches(kind))
        ]
        by_filter = None if filter_plan is None else filter_plan.sources
        named = [names for names in (criteria.sources, by_filter) if names is not None]
        sources = frozenset.intersection(*named) if named else None
        pattern = filter_plan is not None and bool(filter_plan.source_terms)
        if sources is None and not pattern and len(kinds) == len(all_kinds):
            return
        passed = sum(last - first + 1 for first, last in self._ranges)  # by one that goes through the events
        fits = filter_plan.source_matches if pattern and filter_plan is not None else _any_source
        count, events = registry.size(kinds)
        if sources is not None:
            wanted = registry.named(kinds, filter(fits, sources))
            if self._merges(len(wanted), registry.events_of(wanted), passed, head):
                self._series = wanted
        elif count <= max(passed, MAX_MERGED_SERIES) if pattern else self._merges(count, events, passed, head):
            wanted, events = [], 0
            for some in registry.select(kinds, fits):
                wanted += some
                events += registry.events_of(some)
                if not self._merges(len(wanted), events, passed, head):
                    break
                yield
            else:
                self._series = wanted
        if self._series is None:
            self._series_terms = _series_condition(kinds, sources, filter_plan.source_text if filter_plan else "")
        elif not self._series:
            self._ranges = []

    def _merges(self, series: int, events: int, passed: int, head: int) -> bool:
        """Whether merging the index entries of so many series costs less than to pass by the events."""
        if series <= MAX_MERGED_SERIES:
            return True
        fitting = max(events * passed // max(head, 1), 1)
        if not self._where and self._query.limit < fitting:  # the search ends with the page
            passed = passed * self._query.limit // fitting
            fitting = self._query.limit
        return series * (fitting // LARGEST_BLOCK + 1) * _LOOKUP_EVENTS < passed

    def _merge(self, connection: sqlite3.Connection, series: list[int], low: int, high: int, size: int) -> list[int]:
        """Merge some series' index entries; SQLite stops at `size` of them (sqlite.org/optoverview.html, 'UNION')."""
        term = (
            "SELECT event_id FROM events INDEXED BY events_series"
            " WHERE series_id = {} AND event_id BETWEEN :low AND :high"
        )
        terms = " UNION ALL ".join(term.format(series_id) for series_id in series)
        return _ids(
            connection,
            f"{terms} ORDER BY event_id {self._order} LIMIT :size",
            {"low": low, "high": high, "size": size},
        )

    def _of_series(self, connection: sqlite3.Connection, low: int, high: int) -> list[int]:
        condition, values = self._series_terms  # a CROSS JOIN, so that SQLite does not begin with the series
        return _ids(
            connection,
            f"SELECT event_id FROM events e CROSS JOIN series s ON s.series_id = e.series_id WHERE {condition}"  # noqa: S608
            f" AND event_id BETWEEN ? AND ? ORDER BY event_id {self._order}",
            (*values, low, high),
        )

    def _matching(self, connection: sqlite3.Connection, candidates: Sequence[int]) -> list[int]:
        if isinstance(candidates, range):
            chosen = "event_id BETWEEN ? AND ?"
            bounds: tuple[object, ...] = tuple(sorted((candidates[0], candidates[-1])))
        else:
            chosen = "event_id IN (SELECT value FROM json_each(?))"
            bounds = (msgspec.json.encode(candidates).decode(),)
        return _ids(
            connection,
            f"SELECT event_id FROM events WHERE {chosen} AND {self._where} ORDER BY event_id {self._order}",  # noqa: S608 - a plan's own text
            (*bounds, *self._values),
        )


def _ids(connection: sqlite3.Connection, query: str, values: tuple[object, ...] | dict[str, object]) -> list[int]:
    """What a query finds, in one step of SQLite."""
    (ids,) = connection.execute(f"SELECT json_group_array(event_id) FROM ({query})", values).fetchone()  # noqa: S608
    return msgspec.json.decode(ids, type=list[int])


def _series_condition(
    kinds: Sequence[str], sources: frozenset[str] | None, source_text: str
) -> tuple[str, tuple[object, ...]]:
    """What kind and source must be like, as SQL."""
    terms = ["kind IN (SELECT value FROM json_each(?))"]
    values: list[object] = [msgspec.json.encode(kinds).decode()]
    if sources is not None:
        terms.append("source IN (SELECT value FROM json_each(?))")
        values.append(msgspec.json.encode(sorted(sources)).decode())
    if source_text:
        terms.append("audit_source(?, source)")
        values.append(source_text)
    return " AND ".join(terms), tuple(values)


def _any_source(_: str) -> bool:
    return True
