"""SqliteStore: the store of one daemon on one file. Behind `protocol.Store`."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Self, TypeVar

from audit_daemon.store import schema
from audit_daemon.store.lock import FileLock
from audit_daemon.store.protocol import Health, IdempotencyKey, Receipt
from audit_daemon.store.writer import Writer, WriterLimits
from audit_stream.canonical import Prepared
from audit_stream.chain import Head, Linked
from audit_stream.event import system_clock_ms
from audit_stream.filters import register
from audit_stream.logfile.errors import SearchStopped, StoreUnusable
from audit_stream.logfile.opening import open_reader
from audit_stream.logfile.query import EventQuery, Layout, Page
from audit_stream.logfile.reader import fetch_event, fetch_events, find_ids, how_many_fit
from audit_stream.logfile.series import SeriesRegistry
from audit_stream.logfile.spans import Spans

__all__ = ["SqliteStore"]

_T = TypeVar("_T")

_READER_THREADS = 3
_INLINE_EVENTS = 200
"""Pages up to this size that need no scan are read on the loop's thread: they take less than the hop to another."""
_INLINE_SERIES = 100
_CHUNK_EVENTS, _CHUNK_BYTES = 500, 256 << 10
"""What one chunk of a streamed answer holds at most, and so what a stalled reader pins."""

SEARCH_DEADLINE_S = 30.0
"""When a search is given up. There are few reader threads, and a filter can be written to take for ever."""
_STEPS_BETWEEN_LOOKS = 1_000


class SqliteStore:
    """Opens the file for one daemon. All methods belong to the event loop's thread."""

    def __init__(
        self,
        path: Path,
        *,
        loop: asyncio.AbstractEventLoop,
        clock_ms: Callable[[], int] = system_clock_ms,
        limits: WriterLimits | None = None,
        open_writer: Callable[[Path], sqlite3.Connection] = schema.open_writer,
    ) -> None:
        """Open or create the store at `path`. Raises StoreLocked or StoreUnusable.

        `open_writer` is there for fault tests.
        """
        self.path = path.resolve()  # by whatever name: SQLite's log and our lock belong to the file itself
        self._series = SeriesRegistry()
        self._spans = Spans()
        with contextlib.ExitStack() as undo:
            self._lock = FileLock(self.path)
            undo.callback(self._lock.release)
            try:
                schema.create(self.path)
                self._inline = self._open_reader()
                undo.callback(self._inline.close)
                self._writer = Writer(
                    partial(open_writer, self.path),
                    identify=partial(_identity, self.path),
                    series=self._series,
                    spans=self._spans,
                    loop=loop,
                    clock_ms=clock_ms,
                    limits=limits or WriterLimits(),
                )
            except sqlite3.Error as error:
                raise StoreUnusable(f"cannot use {self.path}: {error}") from error
            undo.pop_all()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="reader")

    @classmethod
    async def open(cls, path: Path, *, limits: WriterLimits | None = None) -> Self:
        """Open the store on the running loop."""
        return cls(path, loop=asyncio.get_running_loop(), limits=limits)

    @property
    def head(self) -> Head:
        """The last committed event."""
        return self._writer.head

    @property
    def health(self) -> Health:
        """The state of the write path and of the file."""
        return Health(
            problem=self._writer.problem,
            queued_events=self._writer.queued_events,
            queued_bytes=self._writer.queued_bytes,
            commits=self._writer.commits,
            failed_commits=self._writer.failed_commits,
            size_bytes=sum(
                part.stat().st_size
                for suffix in ("", "-wal")
                if (part := self.path.with_name(self.path.name + suffix)).exists()
            ),
        )

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Events by (kind, source)."""
        return self._series.counts()

    async def append(self, events: Sequence[Prepared], key: IdempotencyKey | None = None) -> Receipt:
        """Append all or none; on return they are on disk. Raises StoreError."""
        return await self._writer.submit(events, key)

    def on_commit(self, listener: Callable[[Sequence[Linked]], None]) -> None:
        """Call `listener` on the loop's thread with each commit's events."""
        self._writer.on_commit(listener)

    def event(self, event_id: int) -> tuple[bytes, str] | None:
        """An event's canonical bytes and hash: one index look-up, on the calling thread."""
        return fetch_event(self._inline, event_id)

    async def find(self, query: EventQuery) -> Page:
        """The ids that a query selects. Scans run in a reader thread; one whose caller is cancelled ends soon after."""
        few = query.limit <= _INLINE_EVENTS and len(self._series) <= _INLINE_SERIES
        inline = few and not query.criteria.scans
        find = partial(find_ids, query=query, series=self._series, spans=self._spans, head_id=self.head.event_id)
        return find(self._inline) if inline else await self._in_thread(find)

    async def read(self, ids: Sequence[int], layout: Layout) -> AsyncIterator[bytes]:
        """The events of `ids` in chunks; a small page comes as one."""
        if len(ids) <= _INLINE_EVENTS:
            yield fetch_events(self._inline, ids, layout)
            return
        start = 0
        while start < len(ids):
            some = ids[start : start + _CHUNK_EVENTS]
            chunk, count = await self._in_thread(partial(_fetch_some, ids=some, layout=layout))
            yield chunk
            start += count

    async def close(self) -> None:
        """Commit what is queued, answer every waiter, release the file."""
        self._closing.set()
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for connection in (self._inline, *self._opened):
            connection.close()
        self._lock.release()

    def _open_reader(self) -> sqlite3.Connection:
        connection = open_reader(self.path)
        register(connection)  # the exact test of a filter's payload and free-text terms
        return connection

    async def _in_thread(self, job: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a job in a reader thread. It ends early when its caller is cancelled, and after SEARCH_DEADLINE_S."""
        given_up = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._with_connection, job, given_up)
        except asyncio.CancelledError:
            given_up.set()
            raise

    def _with_connection(self, job: Callable[[sqlite3.Connection], _T], given_up: threading.Event) -> _T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open_reader()
            self._opened.append(connection)
        deadline = monotonic() + SEARCH_DEADLINE_S
        connection.set_progress_handler(
            lambda: given_up.is_set() or self._closing.is_set() or monotonic() > deadline, _STEPS_BETWEEN_LOOKS
        )
        try:
            return job(connection)
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
            if self._closing.is_set():
                raise SearchStopped("the daemon is stopping") from None
            raise SearchStopped(
                f"the search was given up after {SEARCH_DEADLINE_S:g} s: narrow it by kind, source, id or time"
            ) from None


def _fetch_some(connection: sqlite3.Connection, ids: Sequence[int], layout: Layout) -> tuple[bytes, int]:
    """As many of the first events as a chunk may hold, laid out, and how many they are."""
    count = how_many_fit(connection, ids, _CHUNK_BYTES)
    return fetch_events(connection, ids[:count], layout), count


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path names now; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
