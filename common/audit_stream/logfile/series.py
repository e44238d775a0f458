"""The series of the log: its (kind, source) pairs, and how many events each has.

There may be a million of them, so what a reader asks costs as much as its answer and not as much as the registry:
sums by kind and by source are kept, and so are the sources with the most events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest

import msgspec

from audit_stream.logfile.tables import text_of

__all__ = ["SHOWN_SERIES", "SHOWN_SOURCES", "SeriesRegistry", "SeriesUpdate", "Tally"]

SHOWN_SOURCES = 1_000
"""Sources in a tally, those with the most events: a million would take 30 MB of JSON at every look."""

SHOWN_SERIES = 2_000
"""Series in a tally, the oldest, so that the counter of each only grows, and so do those of all others together."""

LOOKED_AT_ONCE = 2_048
"""Sources that a pattern is held to in one piece: about 5 ms."""

_Pair = tuple[str, str]


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of events: all kinds, the sources with the most events (most first), and the oldest series.

    `other_sources` and `other_series` are the events of those that are not named, the latter by kind.
    """

    by_kind: Mapping[str, int]
    by_source: Mapping[str, int]
    other_sources: int
    sources: int
    by_series: Sequence[tuple[_Pair, int]]
    other_series: Mapping[str, int]


class SeriesRegistry:
    """All series in memory. The writer thread changes it; other threads read it."""

    def __init__(self) -> None:
        self._clear()

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the file's series; the cost depends on how many there are, not on how many events."""
        loaded = SeriesRegistry()
        rows = connection.execute(
            "SELECT s.series_id, CAST(s.kind AS BLOB), CAST(s.source AS BLOB),"
            " coalesce((SELECT e.series_seq FROM events e WHERE e.event_id ="
            " (SELECT max(event_id) FROM events l WHERE l.series_id = s.series_id)), 0) FROM series s NOT INDEXED"
        )
        names: dict[str, str] = {}  # one string for a name that many series have
        for series_id, kind_bytes, source_bytes, count in rows:
            kind, source = text_of(kind_bytes), text_of(source_bytes)
            loaded._add(names.setdefault(kind, kind), names.setdefault(source, source), series_id)
            loaded._count(names[kind], names[source], series_id, count)
        self.__dict__ = loaded.__dict__  # at once: other threads read

    def begin(self) -> SeriesUpdate:
        """Start numbering a transaction's events; nothing changes here before `SeriesUpdate.apply`."""
        return SeriesUpdate(self)

    def __len__(self) -> int:
        return len(self._counts)

    def counts(self) -> Mapping[_Pair, int]:
        """Events by (kind, source), at this moment. Takes a second for a million."""
        return {
            (kind, source): self._counts[series_id]
            for kind, ids in list(self._ids.items())
            for source, series_id in list(ids.items())
        }

    def tally(self) -> Tally:
        """What is shown of the counts, at this moment: takes no longer the more series there are."""
        by_kind, largest = dict(self._by_kind), list(self._largest.items())
        by_source = dict(nlargest(SHOWN_SOURCES, largest, key=_second))
        by_series = [((kind, source), self._counts[series_id]) for kind, source, series_id in list(self._oldest)]
        other_series = dict(by_kind) if len(self) > len(by_series) else {}
        for (kind, _), count in by_series if other_series else ():
            other_series[kind] = max(other_series.get(kind, 0) - count, 0)
        return Tally(
            by_kind=by_kind,
            by_source=by_source,
            other_sources=max(sum(by_kind.values()) - sum(by_source.values()), 0),
            sources=len(self._by_source),
            by_series=by_series,
            other_series={kind: count for kind, count in other_series.items() if count},
        )

    def kinds(self) -> Sequence[str]:
        """The kinds that have a series."""
        return list(self._ids)

    def has_kind(self, kind: str) -> bool:
        """Whether the log holds events of this kind."""
        return self._by_kind.get(kind, 0) > 0

    def size(self, kinds: Iterable[str]) -> tuple[int, int]:
        """How many series these kinds have, and how many events."""
        series = events = 0
        for kind in kinds:
            series += len(self._ids.get(kind, ()))
            events += self._by_kind.get(kind, 0)
        return series, events

    def events_of(self, series_ids: Iterable[int]) -> int:
        """How many events these series have."""
        return sum(self._counts[series_id] for series_id in series_ids)

    def named(self, kinds: Iterable[str], sources: Iterable[str]) -> list[int]:
        """The ids of the series of these kinds and sources; costs a look-up for each pair."""
        sources = list(sources)
        by_kind = (self._ids.get(kind, {}) for kind in kinds)
        return [ids[source] for ids in by_kind for source in sources if source in ids]

    def select(self, kinds: Iterable[str], wanted: Callable[[str], bool]) -> Iterator[list[int]]:
        """The ids of the series of these kinds whose source is wanted; looks at each.

        A list, which may be empty, for every LOOKED_AT_ONCE of them, so that who asks can do something else between.
        """
        for kind in kinds:
            ids = self._ids.get(kind, {})
            sources = list(ids)  # others may be added meanwhile
            for start in range(0, len(sources), LOOKED_AT_ONCE):
                yield [ids[source] for source in sources[start : start + LOOKED_AT_ONCE] if wanted(source)]

    def _clear(self) -> None:
        self._ids: dict[str, dict[str, int]] = {}  # by kind and source
        self._counts: dict[int, int] = {}
        self._last_id = 0
        self._by_kind: dict[str, int] = {}
        self._by_source: dict[str, int] = {}
        self._oldest: list[tuple[str, str, int]] = []
        # The sources with the most events are all in here: one that is not has at most `_bar`, and counts only grow.
        self._largest: dict[str, int] = {}
        self._bar = 0

    def _add(self, kind: str, source: str, series_id: int) -> None:
        self._counts[series_id] = 0  # first: readers look up a series' count
        if len(self._oldest) < SHOWN_SERIES:
            self._oldest.append((kind, source, series_id))
        self._ids.setdefault(kind, {})[source] = series_id
        self._last_id = max(self._last_id, series_id)

    def _count(self, kind: str, source: str, series_id: int, count: int) -> None:
        """A series has `count` events now."""
        added = count - self._counts[series_id]
        self._counts[series_id] = count
        self._by_kind[kind] = self._by_kind.get(kind, 0) + added
        total = self._by_source[source] = self._by_source.get(source, 0) + added
        if total > self._bar or source in self._largest:
            self._largest[source] = total
            if len(self._largest) > 2 * SHOWN_SOURCES:
                self._largest = dict(nlargest(SHOWN_SOURCES, self._largest.items(), key=_second))
                self._bar = min(self._largest.values())


def _second(item: tuple[str, int]) -> int:
    return item[1]


class SeriesUpdate:
    """The series numbers of one transaction, not yet part of the registry."""

    def __init__(self, registry: SeriesRegistry) -> None:
        self._registry = registry
        self._ids = registry._ids
        self._counts = registry._counts
        self._new: dict[_Pair, int] = {}
        self._next: dict[_Pair, tuple[int, int]] = {}  # series_id and the last number

    def number(self, pair: _Pair) -> tuple[int, int]:
        """The series_id of a (kind, source) pair and the series_seq of its next event."""
        series_id, seq = self._next.get(pair) or self._begin(pair)
        numbered = self._next[pair] = (series_id, seq + 1)
        return numbered

    @property
    def new_rows(self) -> list[tuple[int, str, str]]:
        """Rows for the `series` table: (series_id, kind, source)."""
        return [(series_id, kind, source) for (kind, source), series_id in self._new.items()]

    def apply(self) -> None:
        """Make the numbers part of the registry: after the commit that stored them."""
        for (kind, source), series_id in self._new.items():
            self._registry._add(kind, source, series_id)
        for (kind, source), (series_id, seq) in self._next.items():
            self._registry._count(kind, source, series_id, seq)

    def _begin(self, pair: _Pair) -> tuple[int, int]:
        kind, source = pair
        series_id = self._ids.get(kind, {}).get(source)
        if series_id is None:  # after the largest id, not after their number: a row may have been deleted
            series_id = self._new[pair] = self._registry._last_id + len(self._new) + 1
        return series_id, self._counts.get(series_id, 0)
