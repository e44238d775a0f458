"""An export as a log: a file of events as `GET /events` gives them and `audit-stream export` writes them."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from audit_stream.chain import Verdict
from audit_stream.client import EVERYTHING, Live, RawEvent, Selection, Stats, Tailed
from audit_stream.timestamps import time_ms_or_none
from audit_stream.wire import DEFAULT_PAGE_EVENTS
from audit_tui.offline.export_check import ExportCheck
from audit_tui.offline.export_file import ExportFile, as_served, fingerprint, read_event, scan
from audit_tui.offline.one_thread import OneThread
from audit_tui.offline.wanted import criteria_of

if TYPE_CHECKING:
    from audit_stream.logfile.query import Criteria

__all__ = ["ExportLog"]

_STEP_EVENTS = 500


class ExportLog:
    """Reads in one thread of its own. A file that is edited or replaced meanwhile is read anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = OneThread(path, name="export")
        self._export: ExportFile | None = None
        self._last_verdict: Verdict | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Reads the whole file once, 5 µs an event. Raises ClientError when it cannot be read or holds no event."""
        log = cls(path)
        try:
            await log._thread.run(log._current)
        except BaseException:
            await log.close()
            raise
        return log

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    async def stats(self) -> Stats:
        """Counts of the events that are there."""
        return await self._thread.run(self._stats)

    async def verify(self) -> Verdict:
        """Recompute every hash and link. Of a part that begins later than event 1, the first link is not known."""
        check = await self._thread.run(lambda: ExportCheck(self._path, self._current()))
        verdict: Verdict | None = None
        while verdict is None:  # step by step: keys and pages come between
            verdict = await self._thread.run(partial(check.step, _STEP_EVENTS))
        self._last_verdict = verdict
        return verdict

    async def event(self, event_id: int, /) -> RawEvent | None:
        """One event, None when the file has none of this id."""
        found = await self._thread.run(lambda: self._read([event_id], None))
        return found[0] if found else None

    async def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        """Events as `Client.events` gives them."""
        criteria = await self._thread.run(partial(criteria_of, selection))
        recent = since_id is None and not newest_first
        if recent and limit is None:
            limit = DEFAULT_PAGE_EVENTS
        ids = await self._thread.run(partial(self._ids, (since_id or 0) + 1, before_id))
        if recent or newest_first:
            ids = ids[::-1]
        found: list[RawEvent] = []
        for start in range(0, len(ids), _STEP_EVENTS):
            step = await self._thread.run(partial(self._read, ids[start : start + _STEP_EVENTS], criteria))
            step = step[:limit]
            limit = None if limit is None else limit - len(step)
            if recent:  # read from the newest on, answered oldest first
                found += step
            else:
                for served in step:
                    yield served
            if limit == 0:
                break
        for served in reversed(found):
            yield served

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """What the file holds after event `since_id`; then nothing more comes."""
        place = (await self.stats()).head.event_id if since_id is None else since_id
        yield Live(after_id=place)
        async for served in self.events(selection, since_id=place):
            yield served
        await asyncio.Event().wait()

    async def close(self) -> None:
        """End the thread, after the step that it is at."""
        await self._thread.end()

    # In the thread

    def _current(self) -> ExportFile:
        """The file as it is now."""
        if self._export is None or self._export.fingerprint != fingerprint(self._path):
            self._export = scan(self._path)
        return self._export

    def _stats(self) -> Stats:
        export = self._current()
        last_id = export.ids[-1] if export.ids else None
        last = self._read([last_id], None) if last_id is not None else []
        event = read_event(last[0].raw) if last else None
        return Stats(
            count=len(export.ids),
            last_event_id=last_id,
            latest_hash=None if event is None else event.hash,
            by_kind=dict(export.by_kind),
            by_source=dict(export.by_source),
            database_bytes=export.fingerprint[2],
            last_verdict=self._last_verdict,
        )

    def _ids(self, low: int, before_id: int | None) -> Sequence[int]:
        ids = self._current().ids
        high = len(ids) if before_id is None else bisect_left(ids, before_id)
        return ids[bisect_left(ids, low) : high]

    def _read(self, ids: Sequence[int], criteria: Criteria | None) -> list[RawEvent]:
        """Those of `ids` that are there and fit, each once: of several with one id, the first in the file."""
        export = self._current()
        found, before = [], None
        with self._path.open("rb") as file:
            for event_id in ids:
                index = bisect_left(export.ids, event_id)
                if event_id == before or index == len(export.ids) or export.ids[index] != event_id:
                    continue
                before = event_id
                raw = as_served(export.read(file, index))
                if raw is not None and (criteria is None or _fits(raw, criteria)):
                    found.append(RawEvent(raw))
        return found


def _fits(raw: bytes, criteria: Criteria) -> bool:
    event = read_event(raw)
    if event is None:
        return False
    if criteria.since_ms is not None or criteria.until_ms is not None:
        at_ms = time_ms_or_none(event.timestamp)
        if at_ms is None:
            return False
        low, high = criteria.since_ms, criteria.until_ms
        if (low is not None and at_ms < low) or (high is not None and at_ms > high):
            return False
    if criteria.filter is not None:
        from audit_stream.filters import matches

        if not matches(criteria.filter, event):
            return False
    return (criteria.kinds is None or event.kind in criteria.kinds) and (
        criteria.sources is None or event.source in criteria.sources
    )
