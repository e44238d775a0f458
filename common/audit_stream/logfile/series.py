"""The series of the log: its (kind, source) pairs, and how many events each has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

__all__ = ["SeriesRegistry", "SeriesUpdate"]


class SeriesRegistry:
    """All series in memory. The writer thread changes it; other threads read it."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}
        self._counts: dict[int, int] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the file's series; the cost depends on how many there are, not on how many events."""
        rows = connection.execute(
            "SELECT s.series_id, s.kind, s.source, coalesce((SELECT e.series_seq FROM events e WHERE e.event_id ="
            " (SELECT max(event_id) FROM events l WHERE l.series_id = s.series_id)), 0) FROM series s"
        ).fetchall()
        self._counts = {series_id: count for series_id, _, _, count in rows}  # first: readers look up a series' count
        self._ids = {(kind, source): series_id for series_id, kind, source, _ in rows}

    def begin(self) -> SeriesUpdate:
        """Start numbering a transaction's events; nothing changes here before `SeriesUpdate.apply`."""
        return SeriesUpdate(self._ids, self._counts)

    def __len__(self) -> int:
        return len(self._ids)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Events by (kind, source), at this moment."""
        return {pair: self._counts[series_id] for pair, series_id in list(self._ids.items())}

    def select(self, wanted: Callable[[str, str], bool]) -> list[int]:
        """The ids of the series whose kind and source are wanted."""
        return [series_id for (kind, source), series_id in list(self._ids.items()) if wanted(kind, source)]


class SeriesUpdate:
    """The series numbers of one transaction, not yet part of the registry."""

    def __init__(self, ids: dict[tuple[str, str], int], counts: dict[int, int]) -> None:
        self._ids = ids
        self._counts = counts
        self._new: dict[tuple[str, str], int] = {}
        self._last_id = 0
        self._next: dict[int, int] = {}

    def number(self, pair: tuple[str, str]) -> tuple[int, int]:
        """The series_id of a (kind, source) pair and the series_seq of its next event."""
        series_id = self._ids.get(pair) or self._new.get(pair)
        if series_id is None:
            if not self._new:
                self._last_id = max(self._ids.values(), default=0)  # not their number: a row may have been deleted
            series_id = self._new[pair] = self._last_id + len(self._new) + 1
        seq = self._next.get(series_id) or self._counts.get(series_id, 0)
        self._next[series_id] = seq + 1
        return series_id, seq + 1

    @property
    def new_rows(self) -> list[tuple[int, str, str]]:
        """Rows for the `series` table: (series_id, kind, source)."""
        return [(series_id, kind, source) for (kind, source), series_id in self._new.items()]

    def apply(self) -> None:
        """Make the numbers part of the registry: after the commit that stored them."""
        self._counts.update(self._next)
        self._ids.update(self._new)
