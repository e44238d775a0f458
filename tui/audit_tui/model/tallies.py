"""The count, the recent past and the usual pace of one name, and of a bounded number of names.

Times are seconds on the clock of `activity.Activity`, which stands still while nobody listens.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from heapq import nlargest

import msgspec

from audit_stream.kinds import Severity

__all__ = ["QUIET", "SPARK_BUCKETS", "SPARK_BUCKET_S", "Tallies", "Tally", "bucket_of"]

SPARK_BUCKETS = 24
SPARK_BUCKET_S = 10
"""As many buckets as a sparkline has cells: merging them would redraw its whole shape at every step."""

QUIET = (0,) * SPARK_BUCKETS

_MIN_BEATS = 10
_MIN_OBSERVED_S = 60.0
_MIN_SILENCE_S = 30.0
_SILENT_GAPS = 8
_REMEMBERED_BEATS = 64
"""After so many, what was seen before counts half: the pace of the night is not the pace of the day."""


def bucket_of(at_s: float) -> int:
    """The number of the bucket that a moment is in."""
    return int(at_s // SPARK_BUCKET_S)


class Tally(msgspec.Struct, gc=False):
    """What is known of one name. `counts` is a ring of buckets, of which `newest` is the last that was begun.

    A record is a moment with events, however many, at least a second after the one before: a burst says little of a
    pace. `gaps_s` is the sum of the gaps before `beats` beats.
    """

    name: str
    counts: array[int]
    total: int = 0
    newest: int = 0
    severity: Severity = Severity.INFO
    severity_bucket: int = -SPARK_BUCKETS
    first_s: float | None = None
    last_s: float = 0.0
    beats: int = 0
    gaps_s: float = 0.0

    def count(self, count: int, severity: Severity, bucket: int) -> None:
        """Events of now; `total` is the caller's."""
        if bucket != self.newest:
            self._advance(bucket)
        self.counts[bucket % SPARK_BUCKETS] += count
        if severity >= self.severity or bucket - self.severity_bucket >= SPARK_BUCKETS:
            self.severity, self.severity_bucket = severity, bucket

    def record(self, at_s: float) -> None:
        """Heard live. A gap counts as at most what makes it silent, so that one outage is not taken for its pace."""
        if self.first_s is None:
            self.first_s = self.last_s = at_s
        elif (gap_s := at_s - self.last_s) >= 1:
            self.gaps_s += min(gap_s, self._patience_s()) if self.beats >= _MIN_BEATS else gap_s
            self.beats += 1
            self.last_s = at_s
            if self.beats >= _REMEMBERED_BEATS:
                self.beats //= 2
                self.gaps_s /= 2

    def silent_for_s(self, at_s: float) -> float | None:
        """Seconds since it was heard, if it was heard often enough to say that this is unusual."""
        if self.first_s is None or self.beats < _MIN_BEATS or self.last_s - self.first_s < _MIN_OBSERVED_S:
            return None
        silence_s = at_s - self.last_s
        return silence_s if silence_s > self._patience_s() else None

    def spark(self, bucket: int) -> tuple[int, ...]:
        """The buckets up to this one, oldest first."""
        if bucket - self.newest >= SPARK_BUCKETS:
            return QUIET
        if bucket != self.newest:
            self._advance(bucket)
        oldest = (bucket + 1) % SPARK_BUCKETS
        return (*self.counts[oldest:], *self.counts[:oldest])

    def merge(self, other: Tally) -> None:
        """Add what another counted."""
        self.total += other.total
        bucket = max(self.newest, other.newest)
        self._advance(bucket)
        for index, count in enumerate(other.spark(bucket)):
            self.counts[(bucket + 1 + index) % SPARK_BUCKETS] += count
        if other.severity >= self.severity or bucket - self.severity_bucket >= SPARK_BUCKETS:
            self.severity, self.severity_bucket = other.severity, other.severity_bucket

    def _advance(self, bucket: int) -> None:
        for begun in range(max(self.newest + 1, bucket - SPARK_BUCKETS + 1), bucket + 1):
            self.counts[begun % SPARK_BUCKETS] = 0
        self.newest = bucket

    def _patience_s(self) -> float:
        return max(_MIN_SILENCE_S, _SILENT_GAPS * self.gaps_s / self.beats)


class Tallies:
    """The tallies of up to `max_names` names, or a quarter more, and one of all the others, `rest`."""

    def __init__(self, max_names: int) -> None:
        self.total = 0
        self.by_name: dict[str, Tally] = {}
        self.rest = _new_tally("")
        self._max_names = max_names

    def seed(self, totals: Mapping[str, int]) -> None:
        """Replace all totals, and nothing else."""
        self.total = sum(totals.values())
        kept = dict(nlargest(self._max_names, totals.items(), key=lambda item: item[1]))
        for name in self.by_name.keys() - kept.keys():
            self.by_name[name].total = totals.get(name, 0)
        for name, total in kept.items():
            self._tally(name).total = total
        self.rest.total = self.total - sum(tally.total for tally in self.by_name.values())
        self.evict()

    def add(self, name: str, count: int, severity: Severity, at_s: float, *, live: bool) -> None:
        """Count events of one name, and unless they are old (`live=False`) when it was heard."""
        tally = self._tally(name)
        tally.total += count
        self.total += count
        if live:
            tally.count(count, severity, bucket_of(at_s))
            tally.record(at_s)
        else:
            self.touch(name, at_s)

    def touch(self, name: str, at_s: float) -> None:
        """It has spoken meanwhile, whenever that was, so it is not silent."""
        tally = self.by_name.get(name)
        if tally is not None and tally.first_s is not None:
            tally.last_s = at_s

    def evict(self) -> None:
        """Once a quarter too many are there, so that a flood of new names is not sorted for each of them."""
        if len(self.by_name) <= self._max_names + self._max_names // 4:
            return
        by_total = nlargest(self._max_names // 2, self.by_name.values(), key=lambda tally: tally.total)
        kept = {tally.name for tally in by_total}
        others = (tally for tally in self.by_name.values() if tally.name not in kept)
        kept.update(
            tally.name for tally in nlargest(self._max_names - len(kept), others, key=lambda tally: tally.last_s)
        )
        for name in self.by_name.keys() - kept:
            self.rest.merge(self.by_name.pop(name))

    def _tally(self, name: str) -> Tally:
        tally = self.by_name.get(name)
        if tally is None:
            tally = self.by_name[name] = _new_tally(name)
        return tally


def _new_tally(name: str) -> Tally:
    return Tally(name=name, counts=array("L", bytes(array("L").itemsize * SPARK_BUCKETS)))
