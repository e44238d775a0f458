"""An export as a log: one event a line, as `GET /events` gives them as NDJSON and `audit-stream export` writes them."""

from __future__ import annotations

import asyncio
import mmap
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from audit_stream.canonical import canonical_bytes, canonical_event, hash_of, splice_hash
from audit_stream.chain import GENESIS_HASH, Head, Verdict, check_link
from audit_stream.client import EVERYTHING, Live, Selection, Served, Stats, Tailed
from audit_stream.errors import ClientError, TimestampError
from audit_stream.event import Event, system_clock_ms
from audit_stream.filters import FilterError, matches, parse
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms, time_ms_or_none

__all__ = ["ExportLog"]

_SLICE = 1_000
_DEFAULT_LIMIT = 1_000

_events = msgspec.json.Decoder(Event)


class ExportLog:
    """Lines of a file that is mapped, not read; their places and ids take 16 bytes an event. Never changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._starts = array("Q")
        self._ids = array("Q")
        self._by_kind: Counter[str] = Counter()
        self._by_source: Counter[str] = Counter()
        self._first_bad_line = 0
        self._last_verdict: Verdict | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Raises ClientError when the file cannot be read or holds no event."""
        log = cls(path)
        try:
            await asyncio.to_thread(log._index)
        except OSError as error:
            raise ClientError(f"cannot read {path}: {error.strerror}") from None
        return log

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    async def stats(self) -> Stats:
        """Counts of what the file holds."""
        last = self._at(len(self._ids) - 1) if self._ids else None
        return Stats(
            count=len(self._ids),
            last_event_id=self._ids[-1] if self._ids else None,
            latest_hash=None if last is None else _events.decode(last.raw).hash,
            by_kind=dict(self._by_kind),
            by_source=dict(self._by_source),
            database_bytes=len(self._map or b""),
            last_verdict=self._last_verdict,
        )

    async def verify(self) -> Verdict:
        """Recompute every hash and link; of an export that begins later than event 1, the first link is not known."""
        self._last_verdict = await asyncio.to_thread(self._walk)
        return self._last_verdict

    async def event(self, event_id: int, /) -> Served | None:
        """One event, None when the file has none of this id."""
        index = bisect_left(self._ids, event_id)
        return self._at(index) if index < len(self._ids) and self._ids[index] == event_id else None

    async def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[Served]:
        """Events as `Client.events` gives them."""
        passes = _test(selection)
        low = 0 if since_id is None else bisect_right(self._ids, since_id)
        high = len(self._ids) if before_id is None else bisect_left(self._ids, before_id)
        recent = since_id is None and not newest_first
        left = (_DEFAULT_LIMIT if recent else len(self._ids)) if limit is None else limit
        indexes = range(high - 1, low - 1, -1) if newest_first or recent else range(low, high)
        found: list[Served] = []
        for start in range(0, len(indexes), _SLICE):
            part = indexes[start : start + _SLICE]
            page = await asyncio.to_thread(lambda part=part: [s for i in part if passes(s := self._at(i))])  # type: ignore[misc]  # mypy does not infer defaults of a lambda
            page, left = page[:left], left - min(left, len(page))
            if recent:
                found += page
            else:
                for served in page:
                    yield served
            if not left:
                break
        for served in reversed(found):
            yield served

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """What the file holds after event `since_id`; then nothing more comes."""
        place = (self._ids[-1] if self._ids else 0) if since_id is None else since_id
        yield Live(after_id=place)
        async for served in self.events(selection, since_id=place):
            yield served
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Unmap the file."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def _at(self, index: int) -> Served:
        assert self._map is not None
        start = self._starts[index]
        end = self._map.find(b"\n", start)
        return Served(_as_served(self._map[start : end if end >= 0 else len(self._map)]))

    def _index(self) -> None:
        if not self._path.is_file() or not self._path.stat().st_size:
            raise ClientError(f"{self._path} holds no event: give an export, one event a line")
        with self._path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for number, (start, line) in enumerate(self._lines(), 1):
            try:
                event = _events.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._first_bad_line = self._first_bad_line or number
                continue
            if self._ids and event.event_id <= self._ids[-1]:
                self._first_bad_line = self._first_bad_line or number
                continue
            self._starts.append(start)
            self._ids.append(event.event_id)
            self._by_kind[event.kind] += 1
            self._by_source[event.source] += 1
        if not self._ids:
            raise ClientError(f"{self._path} holds no event: give an export, one event a line")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        assert self._map is not None
        start, size = 0, len(self._map)
        while start < size:
            end = self._map.find(b"\n", start)
            end = size if end < 0 else end
            line = self._map[start:end]
            if line.strip():
                yield start, line
            start = end + 1

    def _walk(self) -> Verdict:
        started_ms = system_clock_ms()
        before: Head | None = Head(0, GENESIS_HASH) if self._ids[0] == 1 else None
        checked, reason, broken_at = 0, None, None
        for index in range(len(self._ids)):
            served = self._at(index)
            event = _events.decode(served.raw)
            if before is not None:
                reason = check_link(
                    before.event_id + 1, before.hash, event_id=event.event_id, prev_hash=event.prev_hash
                )
                broken_at = before.event_id + 1
            if reason is None and not _fits(served, event):
                reason, broken_at = f"hash mismatch at event #{event.event_id}", event.event_id
            if reason is not None:
                break
            checked, before = checked + 1, Head(event.event_id, event.hash)
        if reason is None and self._first_bad_line:
            reason, broken_at = f"line {self._first_bad_line} is no event in its place", self._ids[-1] + 1
        return Verdict(
            valid=reason is None,
            checked=checked,
            first_break_at=None if reason is None else broken_at,
            reason=reason,
            head=before,
            duration_ms=system_clock_ms() - started_ms,
            started_at=format_rfc3339_ms(started_ms),
            verified_at=format_rfc3339_ms(system_clock_ms()),
        )


def _fits(served: Served, event: Event) -> bool:
    try:
        return hash_of(canonical_event(served.raw)) == event.hash
    except ValueError:
        return False


def _as_served(line: bytes) -> bytes:
    """The line in the form that our daemon serves; that of 0.1.0 has other spaces and another order of keys."""
    line = line.strip()
    try:
        canonical_event(line)
    except ValueError:
        fields = msgspec.json.decode(line)
        return splice_hash(canonical_bytes(fields), str(fields["hash"]))
    return line


def _test(selection: Selection) -> Callable[[Served], bool]:
    """Whether an event is selected. Raises ClientError for a malformed filter or time."""
    try:
        filter_ = parse(selection.q, now_ms=system_clock_ms()) if selection.q.strip() else None
        since_ms = parse_rfc3339_ms(selection.since) if selection.since else None
        until_ms = parse_rfc3339_ms(selection.until) if selection.until else None
    except (FilterError, TimestampError) as error:
        raise ClientError(str(error), status=400) from None
    if selection == EVERYTHING:
        return lambda served: True

    def passes(served: Served) -> bool:
        event = _events.decode(served.raw)
        at_ms = time_ms_or_none(event.timestamp)
        return (
            (not selection.kinds or event.kind in selection.kinds)
            and (not selection.sources or event.source in selection.sources)
            and (since_ms is None or (at_ms is not None and at_ms >= since_ms))
            and (until_ms is None or (at_ms is not None and at_ms <= until_ms))
            and (filter_ is None or matches(filter_, event))
        )

    return passes
