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
from time import monotonic_ns
from typing import Self, TypeVar

import msgspec
import structlog

from audit_daemon.store import schema
from audit_daemon.store.acknowledged import check_not_shorter
from audit_daemon.store.files import FilesChanged
from audit_daemon.store.lock import FileLock
from audit_daemon.store.packed_ids import BLOCK_IDS, packed
from audit_daemon.store.protocol import AppendResult, Health, IdempotencyKey, StoreUnreadable
from audit_daemon.store.searches import Searches, shut_down
from audit_daemon.store.writer import Writer, WriterLimits
from audit_stream.canonical import UnlinkedEvent
from audit_stream.chain import GENESIS, ChainedEvent, Head
from audit_stream.event import system_clock_ms
from audit_stream.logfile.errors import SearchStopped, StoreUnusable
from audit_stream.logfile.opening import open_reader, size_bytes, write_ahead_log_of
from audit_stream.logfile.query import Criteria, EventQuery, Page, PageFormat
from audit_stream.logfile.reader import counts_that_fit, fetch_event, fetch_events, fits
from audit_stream.logfile.search import MAX_MERGED_SERIES, Search, find_ids
from audit_stream.logfile.series import SeriesRegistry, Tally
from audit_stream.logfile.spans import Spans

__all__ = ["SqliteStore"]

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_READER_THREADS = 3
_INLINE_EVENTS = 200
"""Pages up to this size that need no scan are read on the loop's thread: they take less than the hop to another."""
_INLINE_BYTES = 128 << 10
"""What such a page takes at most, as it is held whole while its reader takes its time."""
_CHUNK_EVENTS, _CHUNK_BYTES = 500, 64 << 10
"""What one chunk of a streamed answer holds at most, and so what a stalled reader pins."""

_STEPS_BETWEEN_LOOKS = 1_000


class SqliteStore:
    """Opens the file for one daemon. All methods belong to the event loop's thread."""

    def __init__(
        self,
        path: Path,
        *,
        loop: asyncio.AbstractEventLoop,
        clock_ms: Callable[[], int] = system_clock_ms,
        uptime_ms: Callable[[], int] = lambda: monotonic_ns() // 1_000_000,
        limits: WriterLimits | None = None,
        open_writer: Callable[[Path], sqlite3.Connection] = schema.open_writer,
    ) -> None:
        """Open or create the store at `path`. Raises StoreLocked or StoreUnusable.

        `open_writer` is there for fault tests.
        """
        self.path = path.resolve()  # by whatever name: SQLite's log and our lock belong to the file itself
        self._readable = self.path
        self._unreadable: str | None = None  # why nothing can be read at the moment
        self.hung = False
        self._series = SeriesRegistry()
        self._spans = Spans()
        with contextlib.ExitStack() as undo:
            self._lock = FileLock(self.path)
            undo.callback(self._lock.release)
            if path.is_symlink() and not schema.size_of(self.path):  # the log may be where the link led to before
                check_not_shorter(path, None, GENESIS)
            try:
                schema.create(self.path)
                self._inline = open_reader(self.path)
                undo.callback(self._inline.close)
                self._writer = Writer(
                    self.path,
                    partial(open_writer, self.path),
                    series=self._series,
                    spans=self._spans,
                    loop=loop,
                    clock_ms=clock_ms,
                    uptime_ms=uptime_ms,
                    limits=limits or WriterLimits(),
                    file_lock=self._lock,
                    on_lost=self._files_lost,
                )
            except (sqlite3.Error, OSError) as error:
                raise StoreUnusable(f"cannot use {self.path}: {schema.why(error)}") from error
            undo.pop_all()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="reader")
        self._searches = Searches(lambda: open_reader(self._readable))

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
            size_bytes=size_bytes(self.path),
            log_bytes=schema.size_of(write_ahead_log_of(self.path)),
        )

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Events by (kind, source)."""
        return self._series.counts()

    def tally(self) -> Tally:
        """What is shown of the counts."""
        return self._series.tally()

    def has_kind(self, kind: str) -> bool:
        """Whether the log holds events of this kind."""
        return self._series.has_kind(kind)

    async def append(self, events: Sequence[UnlinkedEvent], key: IdempotencyKey | None = None) -> AppendResult:
        """Append all or none; on return they are on disk. Raises StoreError."""
        return await self._writer.submit(events, key)

    def on_commit(self, listener: Callable[[Sequence[ChainedEvent]], None]) -> None:
        """Call `listener` on the loop's thread with each commit's events."""
        self._writer.on_commit(listener)

    def give_up(self) -> None:
        """Tell every waiter of `append` that its outcome is not known; for a stop while the disk hangs."""
        self._writer.give_up()

    def check_readable(self) -> None:
        """Raise StoreUnreadable when the files are not those that are open, so that what is read may be wrong."""
        if self._unreadable is not None:
            raise StoreUnreadable(self._unreadable)

    def check_files(self) -> None:
        """Raise StoreUnreadable when what lies at `path` is not what the store has open."""
        if self._writer.lost is not None:
            raise StoreUnreadable(self._writer.problem or self._writer.lost)
        try:
            self._writer.check_files()
        except FilesChanged as error:
            raise StoreUnreadable(str(error)) from None

    def event(self, event_id: int) -> tuple[bytes, str] | None:
        """An event's canonical bytes and hash: one index look-up, on the calling thread."""
        self.check_readable()
        return fetch_event(self._inline, event_id)

    async def find(self, query: EventQuery) -> Page:
        """The ids that a query selects. One that must look at events takes turns with others of its kind."""
        self.check_readable()
        if self._must_search(query.criteria):
            page = await self._searches.find(self._search(query))
            return page if len(page.ids) <= BLOCK_IDS else await self._in_thread(lambda _: _packed(page))
        find = partial(find_ids, query=query, series=self._series, spans=self._spans, head_id=self.head.event_id)
        if query.limit <= _INLINE_EVENTS:
            return find(self._inline)
        # Packed in the same turn: thousands who ask at once would have all their lists wait for it.
        return await self._in_thread(lambda connection: _packed(find(connection)))

    async def find_some(self, query: EventQuery) -> Page:
        """What one turn of searching finds."""
        self.check_readable()
        if self._must_search(query.criteria):
            return await self._searches.get_on(self._search(query))
        return await self.find(query)

    def read_small(self, ids: Sequence[int], page_format: PageFormat) -> bytes | None:
        """The events of `ids` at once, on the calling thread, when there are few and they are small."""
        if len(ids) > _INLINE_EVENTS:
            return None
        self.check_readable()
        if ids and not fits(self._inline, ids, _INLINE_BYTES):
            return None
        return fetch_events(self._inline, ids, page_format)

    async def read(self, ids: Sequence[int], page_format: PageFormat) -> AsyncIterator[bytes]:
        """The events of `ids` in chunks of up to _CHUNK_BYTES."""
        self.check_readable()
        start = 0
        counts: list[int] = []  # of the chunks to come
        while start < len(ids):
            if counts:
                some = ids[start : start + counts[0]]
                first = [await self._in_thread(partial(fetch_events, ids=some, page_format=page_format))]
            else:
                some = ids[start : start + _CHUNK_EVENTS]
                first, counts = await self._in_thread(partial(_fetch_first, ids=some, page_format=page_format))
            yield first.pop()  # not held here while its reader takes its time
            start += counts.pop(0)

    async def close(self) -> None:
        """Commit what is queued, answer every waiter, release the file.

        With a disk that does not answer it gives up after seconds: then `hung` is set, and the process has to end by
        itself (`os._exit`), because Python would wait for the threads that hang.
        """
        self._closing.set()
        self.hung = not await asyncio.to_thread(self._writer.close)
        if self.hung:
            _log.error("the disk does not answer: what it has not confirmed was not acknowledged")
            return
        self.hung = not await self._searches.close() or not await shut_down(self._threads)
        if self.hung:
            _log.error("the disk does not answer: a reader waits for it; everything that was acknowledged is on it")
            return
        for connection in (self._inline, *self._opened):
            connection.close()
        self._writer.close_files()
        self._lock.release()

    def _must_search(self, criteria: Criteria) -> bool:
        """Whether events must be looked at, or the entries of more series than one statement merges."""
        if criteria.scans:
            return True
        if criteria.kinds is None and criteria.sources is None:
            return False
        kinds = self._series.kinds() if criteria.kinds is None else criteria.kinds
        if criteria.sources is None:
            return self._series.size(kinds)[0] > MAX_MERGED_SERIES
        return len(self._series.named(kinds, criteria.sources)) > MAX_MERGED_SERIES

    def _search(self, query: EventQuery) -> Search:
        return Search(query, series=self._series, spans=self._spans, head_id=self.head.event_id)

    def _files_lost(self) -> None:
        """Read from the file that everything was saved into; nothing before it is there."""
        rescued = self._writer.rescued
        self._unreadable = None if rescued is not None else self._writer.problem
        if rescued is not None:
            self._opened.append(self._inline)
            self._readable = rescued
            self._inline = open_reader(rescued)
            self._local = threading.local()
            self._searches.reopen()

    async def _in_thread(self, job: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a cheap job in a reader thread. It ends early when its caller is cancelled."""
        given_up = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._with_connection, job, given_up)
        except asyncio.CancelledError:
            given_up.set()
            raise

    def _with_connection(self, job: Callable[[sqlite3.Connection], _T], given_up: threading.Event) -> _T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_reader(self._readable)
            self._opened.append(connection)
        connection.set_progress_handler(lambda: given_up.is_set() or self._closing.is_set(), _STEPS_BETWEEN_LOOKS)
        try:
            return job(connection)
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
            raise SearchStopped("the daemon is stopping") from None


def _packed(page: Page) -> Page:
    return msgspec.structs.replace(page, ids=packed(page.ids))


def _fetch_first(
    connection: sqlite3.Connection, ids: Sequence[int], page_format: PageFormat
) -> tuple[list[bytes], list[int]]:
    """The first chunk of some events, laid out, and how many events each of their chunks holds."""
    counts = counts_that_fit(connection, ids, _CHUNK_BYTES)
    return [fetch_events(connection, ids[: counts[0]], page_format)], counts
