"""An export as a log: a file of events as `GET /events` gives them and `audit-stream export` writes them."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from audit_stream.chain import Verdict
from audit_stream.client import EVERYTHING, Live, RawEvent, Selection, Stats, Tailed
from audit_stream.logfile.query import Criteria
from audit_stream.timestamps import time_ms_or_none
from audit_tui.offline.export_check import ExportCheck
from audit_tui.offline.export_file import ExportFile, as_served, fingerprint, read_event, scan
from audit_tui.offline.reading import STEP_EVENTS, OneThread, checked_criteria, in_steps

__all__ = ["ExportLog"]


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
            verdict = await self._thread.run(partial(check.step, STEP_EVENTS))
        self._last_verdict = verdict
        return verdict

    async def event(self, event_id: int, /) -> RawEvent | None:
        """One event, None when the file has none of this id."""
        found = await self._thread.run(lambda: self._read([event_id], Criteria()))
        return found[0] if found else None

    def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        """Events as `Client.events` gives them."""
        return in_steps(
            partial(self._steps, selection),
            limit=limit,
            since_id=since_id,
            before_id=before_id,
            newest_first=newest_first,
        )

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

    async def _steps(
        self, selection: Selection, low: int, high: int, *, forward: bool, limit: int | None
    ) -> AsyncGenerator[list[RawEvent]]:
        criteria = await self._thread.run(partial(checked_criteria, selection))
        ids = await self._thread.run(partial(self._ids, low, high))
        if not forward:
            ids = ids[::-1]
        for start in range(0, len(ids), STEP_EVENTS):
            step = await self._thread.run(partial(self._read, ids[start : start + STEP_EVENTS], criteria))
            yield step[:limit]
            limit = None if limit is None else limit - len(step)
            if limit is not None and limit <= 0:
                return

    # In the thread

    def _current(self) -> ExportFile:
        """The file as it is now."""
        if self._export is None or self._export.fingerprint != fingerprint(self._path):
            self._export = scan(self._path)
        return self._export

    def _stats(self) -> Stats:
        export = self._current()
        last_id = export.ids[-1] if export.ids else None
        last = self._read([last_id], Criteria()) if last_id is not None else []
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

    def _ids(self, low: int, high: int) -> Sequence[int]:
        ids = self._current().ids
        return ids[bisect_left(ids, low) : bisect_right(ids, high)]

    def _read(self, ids: Sequence[int], criteria: Criteria) -> list[RawEvent]:
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
                if raw is not None and (criteria == Criteria() or _fits(raw, criteria)):
                    found.append(RawEvent(raw))
        return found


def _fits(raw: bytes, criteria: Criteria) -> bool:
    event = read_event(raw)
    if event is None or not criteria.admits(event.kind, event.source, time_ms_or_none(event.timestamp)):
        return False
    if criteria.filter is None:
        return True
    from audit_stream.filters import matches  # loaded with the filter

    return matches(criteria.filter, event)
