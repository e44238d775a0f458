"""A daemon's database file as a log."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from audit_stream.canonical import splice_hash
from audit_stream.chain import Verdict
from audit_stream.client import EVERYTHING, Live, Selection, Served, Stats, Tailed
from audit_stream.errors import ClientError, TimestampError
from audit_stream.filters import FilterError, register
from audit_stream.logfile.errors import StoreUnusable
from audit_stream.logfile.opening import check, open_reader
from audit_stream.logfile.query import EventQuery
from audit_stream.logfile.reader import find_ids
from audit_stream.logfile.selected import file_query
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans

__all__ = ["DatabaseLog"]

T = TypeVar("T")

_BLOCK_EVENTS = 500
_POLL_S = 1.0
_DEFAULT_LIMIT = 1_000
_MAX_ID = 2**63 - 1


class DatabaseLog:
    """Reads in one thread of its own. What is in the file is served as it is, whether it holds or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._series = SeriesRegistry()
        self._spans = Spans()
        self._connection: sqlite3.Connection | None = None
        self._loaded_version = -1
        self._last_verdict: Verdict | None = None
        self._walk: asyncio.subprocess.Process | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Raises ClientError when the file is none of ours."""
        log = cls(path)
        try:
            await log._in_thread(log._open)
        except BaseException:
            await log.close()
            raise
        return log

    @property
    def url(self) -> str:
        """The path."""
        return str(self._path)

    async def stats(self) -> Stats:
        """Counts from the file's own index; no rates, because nobody posts to a file."""
        stats = await self._in_thread(self._stats)
        return msgspec.structs.replace(stats, last_verdict=self._last_verdict)

    async def verify(self) -> Verdict:
        """A verdict of a process of its own, as the daemon's is. Raises ClientError when there is none."""
        try:
            self._walk = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "audit_stream.logfile.process", str(self._path)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise ClientError(f"the verifying process did not start: {error.strerror}") from None
        try:
            answer, _ = await self._walk.communicate()
        finally:
            self._end_walk()
        line = answer.splitlines()[-1] if answer else b""
        try:
            if b'"error"' in line[:16]:
                raise ClientError(str(msgspec.json.decode(line)["error"]))
            self._last_verdict = msgspec.json.decode(line, type=Verdict)
        except msgspec.DecodeError:
            raise ClientError("the verifying process ended without a verdict") from None
        return self._last_verdict

    async def event(self, event_id: int, /) -> Served | None:
        """One event, None when there is none of this id."""
        found = await self._in_thread(lambda: self._between(event_id, event_id, 1, newest_first=False))
        return found[0] if found else None

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
        low, high = (since_id or 0) + 1, _MAX_ID if before_id is None else before_id - 1
        backwards = newest_first or since_id is None
        left = limit
        if backwards and not newest_first:  # the most recent, oldest first
            count = _DEFAULT_LIMIT if limit is None else limit
            for served in reversed(await self._in_thread(lambda: self._page(selection, low, high, count, True))):
                yield served
            return
        while left is None or left > 0:
            count = _BLOCK_EVENTS if left is None else min(left, _BLOCK_EVENTS)
            page = await self._in_thread(partial(self._page, selection, low, high, count, backwards))
            for served in page:
                yield served
            if len(page) < count:
                return
            last = _id_of(page[-1])
            low, high = (low, last - 1) if backwards else (last + 1, high)
            left = None if left is None else left - len(page)

    async def tail(self, selection: Selection = EVERYTHING, *, since_id: int | None = None) -> AsyncGenerator[Tailed]:
        """Everything after event `since_id`, also what a daemon beside this appends later."""
        place = (await self.stats()).head.event_id if since_id is None else since_id
        yield Live(after_id=place)
        version = -1
        while True:
            now = await self._in_thread(self._version)
            if now != version:
                version = now
                async with contextlib.aclosing(self.events(selection, since_id=place)) as events:
                    async for served in events:
                        place = _id_of(served)
                        yield served
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        """End a running walk and close the file."""
        self._end_walk()
        if self._connection is not None:
            await self._in_thread(self._connection.close)
        self._thread.shutdown(wait=False)

    # In the thread

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (StoreUnusable, FilterError, TimestampError) as error:
            raise ClientError(str(error), status=400 if isinstance(error, FilterError) else None) from None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise ClientError(f"cannot read {self._path}: {error}") from None

    def _open(self) -> None:
        if not self._path.is_file():
            raise StoreUnusable(f"{self._path} does not exist: give a daemon's database file")
        self._connection = open_reader(self._path)
        check(self._connection, self._path)
        register(self._connection)
        self._connection.text_factory = lambda text: text.decode("utf-8", "replace")  # a forged text need not be UTF-8

    def _reader(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _version(self) -> int:
        return int(self._reader().execute("PRAGMA data_version").fetchone()[0])

    def _load(self) -> int:
        """Have the series and spans as they are; returns the last event's id."""
        connection = self._reader()
        version = self._version()
        head_id = int(connection.execute("SELECT coalesce(max(event_id), 0) FROM events").fetchone()[0])
        if version != self._loaded_version:
            self._series.load(connection)
            self._spans.load(connection, head_id)
            self._loaded_version = version
        return head_id

    def _stats(self) -> Stats:
        head_id = self._load()
        connection = self._reader()
        row = connection.execute("SELECT hash FROM events WHERE event_id = ?", (head_id,)).fetchone()
        by_kind: Counter[str] = Counter()
        by_source: Counter[str] = Counter()
        for (kind, source), count in self._series.counts().items():
            by_kind[kind] += count
            by_source[source] += count
        return Stats(
            count=head_id,
            last_event_id=head_id or None,
            latest_hash=None if row is None else str(row[0]),
            by_kind=dict(by_kind),
            by_source=dict(by_source),
            database_bytes=self._path.stat().st_size,
        )

    def _page(self, selection: Selection, low: int, high: int, limit: int, newest_first: bool) -> list[Served]:
        query = file_query(selection)
        if query.criteria == EventQuery().criteria:
            return self._between(low, high, limit, newest_first=newest_first)
        wanted = EventQuery(
            criteria=query.criteria,
            min_id=low,
            max_id=min(high, self._load()),
            limit=limit,
            forward=not newest_first,
            newest_first=newest_first,
        )
        page = find_ids(self._reader(), wanted, series=self._series, spans=self._spans, head_id=wanted.max_id or 0)
        return [served for event_id in page.ids for served in self._between(event_id, event_id, 1, newest_first=False)]

    def _between(self, low: int, high: int, limit: int, *, newest_first: bool) -> list[Served]:
        rows = self._reader().execute(
            "SELECT canonical, hash FROM events WHERE event_id BETWEEN ? AND ?"  # noqa: S608 - one of two words
            f" ORDER BY event_id {'DESC' if newest_first else 'ASC'} LIMIT ?",
            (low, high, limit),
        )
        return [Served(splice_hash(canonical, hash_)) for canonical, hash_ in rows.fetchall()]

    def _end_walk(self) -> None:
        if self._walk is not None and self._walk.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._walk.terminate()
        self._walk = None


class _Id(msgspec.Struct):
    event_id: int


_ids = msgspec.json.Decoder(_Id)


def _id_of(served: Served) -> int:
    try:
        return _ids.decode(served.raw).event_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ClientError("the file holds something that is no event: `audit-stream verify` names it") from None
