"""A daemon's database file as a log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from audit_stream.chain import Head, Verdict
from audit_stream.client import EVERYTHING, Live, Lost, RawEvent, Selection, Stats, Tailed
from audit_stream.errors import ClientError
from audit_stream.logfile.asking import NoVerdictError, ask
from audit_stream.logfile.query import Criteria, EventQuery
from audit_tui.offline.database_file import DatabaseFile, Version
from audit_tui.offline.reading import STEP_EVENTS, OneThread, checked_criteria, in_steps

__all__ = ["DatabaseLog"]

_RETRY_S = 5.0


class DatabaseLog:
    """Reads in one thread of its own. What is in the file is served as it is, whether it holds or not.

    `poll_s` is how often a tail looks whether a daemon beside it has written.
    """

    def __init__(self, path: Path, *, poll_s: float = 1.0) -> None:
        self._path = path
        self._poll_s = poll_s
        self._file = DatabaseFile(path)
        self._thread = OneThread(path, name="database")
        self._last_verdict: Verdict | None = None

    @classmethod
    async def open(cls, path: Path, *, poll_s: float = 1.0) -> Self:
        """Raises ClientError when the file is none of ours."""
        log = cls(path, poll_s=poll_s)
        try:
            await log._thread.run(log._file.version)
        except BaseException:
            await log.close()
            raise
        return log

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    async def stats(self) -> Stats:
        """What is there; no rates, because nobody posts to a file."""
        stats = await self._thread.run(self._file.stats)
        return msgspec.structs.replace(stats, last_verdict=self._last_verdict)

    async def verify(self) -> Verdict:
        """A verdict of a process of its own, at idle priority, as a daemon's is.

        Raises ClientError for a file whose events may all be in a log that was left behind: it proves nothing.
        """
        try:
            verdict = await ask(self._path, stderr=asyncio.subprocess.DEVNULL)  # standard error is the screen
        except NoVerdictError as error:
            raise ClientError(f"the file cannot be verified: {error}") from None
        if verdict.valid and not verdict.checked:
            await self._thread.run(self._file.refuse_bare)
        self._last_verdict = verdict
        return verdict

    async def event(self, event_id: int, /) -> RawEvent | None:
        """One event, None when there is none of this id."""
        raw = await self._thread.run(partial(self._file.event, event_id))
        return None if raw is None else RawEvent(raw)

    def events(
        self,
        selection: Selection = EVERYTHING,
        *,
        limit: int | None = None,
        since_id: int | None = None,
        before_id: int | None = None,
        newest_first: bool = False,
    ) -> AsyncGenerator[RawEvent]:
        """Events as `Client.events` gives them; where rows are missing, those that are there."""
        return in_steps(
            partial(self._steps, selection),
            limit=limit,
            since_id=since_id,
            before_id=before_id,
            newest_first=newest_first,
        )

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """Everything after event `since_id`, also what a daemon beside this appends later, or another file's."""
        criteria = await self._thread.run(partial(checked_criteria, selection))
        start = None if since_id is None else Head(since_id, "")
        version: Version | None = None
        while True:
            try:
                now = await self._thread.run(self._file.version)
                if now != version:
                    place, other = await self._thread.run(partial(self._file.confirm, start))
                    if other is not None:
                        yield other
                    start = place
                    if version is None:
                        yield Live(after_id=place.event_id)
                    last = await self._thread.run(self._file.last)
                    reading = self._read(criteria, place.event_id + 1, last.event_id)
                    async with contextlib.aclosing(reading) as steps:
                        async for step in steps:
                            for event_id, raw in step:
                                start = Head(event_id, "")
                                yield RawEvent(raw)
                    start, version = (last if last.event_id >= place.event_id else place), now
                wait_s = self._poll_s
            except ClientError as error:
                version, wait_s = None, _RETRY_S
                yield Lost(reason=str(error), retry_in_s=wait_s)
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Close the file; a step that is being read ends first."""
        await self._thread.end(self._file.close)

    async def _steps(
        self, selection: Selection, low: int, high: int, *, forward: bool, limit: int | None
    ) -> AsyncGenerator[list[RawEvent]]:
        criteria = await self._thread.run(partial(checked_criteria, selection))
        async with contextlib.aclosing(self._read(criteria, low, high, forward=forward, limit=limit)) as steps:
            async for step in steps:
                yield [RawEvent(raw) for _, raw in step]

    async def _read(
        self, criteria: Criteria, low: int, high: int, *, forward: bool = True, limit: int | None = None
    ) -> AsyncGenerator[list[tuple[int, bytes]]]:
        """The rows' numbers and events of [low, high], step by step."""
        more = low <= high
        while more and (limit is None or limit > 0):
            count = STEP_EVENTS if limit is None else min(limit, STEP_EVENTS)
            query = EventQuery(criteria=criteria, min_id=low, max_id=high, limit=count, forward=forward)
            events, more, reached = await self._thread.run(partial(self._file.find, query))
            yield events
            low, high = (reached + 1, high) if forward else (low, reached - 1)
            limit = None if limit is None else limit - len(events)
