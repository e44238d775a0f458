"""What the daemon asks of a store. SQLite is behind it today; a PostgreSQL store for many daemons must fit too.

Beside what reading a file can answer (`audit_stream.logfile.errors`), a store can answer:

    StoreError
    ├── StoreBusy            the queue is full: retry after a second, nothing was queued
    ├── StoreUnavailable     the disk refused, or the daemon stops: nothing was acknowledged
    ├── StoreUnreadable      the store's files were changed under it: nothing can be read at the moment
    ├── IdempotencyConflict  the key was used by this source for another body
    └── StoreLocked          another daemon holds the file
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from audit_stream.canonical import UnlinkedEvent
from audit_stream.chain import ChainedEvent, Head
from audit_stream.logfile.errors import StoreError
from audit_stream.logfile.query import EventQuery, Page, PageFormat
from audit_stream.logfile.series import Tally

__all__ = [
    "AppendResult",
    "Health",
    "IdempotencyConflict",
    "IdempotencyKey",
    "Store",
    "StoreBusy",
    "StoreLocked",
    "StoreUnavailable",
    "StoreUnreadable",
]


class StoreBusy(StoreError):
    """The write queue is full. Nothing was queued."""


class StoreUnavailable(StoreError):
    """The append failed or its outcome is unknown; the text is the reason."""


class StoreUnreadable(StoreError):
    """The store's files were deleted, replaced or cut under it; the text is what happened and what to do."""


class IdempotencyConflict(StoreError):
    """The same key from the same source came with another body."""


class StoreLocked(StoreError):
    """Another daemon writes to the file."""


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """A producer's retry key. `digest` is the SHA-256 (32 bytes) of what was asked, apart from what we stamp."""

    source: str
    key: str
    digest: bytes


class AppendResult(msgspec.Struct, frozen=True, kw_only=True):
    """An append that is on disk. `events` is empty for a replay: the first answer's events are in the store."""

    first_event_id: int
    last_event_id: int
    latest_hash: str
    replayed: bool
    events: Sequence[ChainedEvent] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the store can append. `problem` is None when it can."""

    problem: str | None
    queued_events: int
    queued_bytes: int
    commits: int
    failed_commits: int
    size_bytes: int
    """Of the database and its write-ahead log."""
    log_bytes: int


class Store(Protocol):
    """A durable chain of events. All methods may be called from the event loop's thread and never block it."""

    @property
    def head(self) -> Head:
        """The last committed event."""

    @property
    def health(self) -> Health:
        """The state of the write path."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Events by (kind, source), as of `head`. For a million series it takes a second."""

    def tally(self) -> Tally:
        """What is shown of the counts: cheap, however many series there are."""

    def has_kind(self, kind: str) -> bool:
        """Whether there are events of this kind."""

    async def append(self, events: Sequence[UnlinkedEvent], key: IdempotencyKey | None = None) -> AppendResult:
        """Append all or none. On return they are on disk. Raises StoreError."""

    def on_commit(self, listener: Callable[[Sequence[ChainedEvent]], None]) -> None:
        """Call `listener` on the event loop's thread with each commit's events, in chain order, without gaps."""

    def event(self, event_id: int) -> tuple[bytes, str] | None:
        """An event's canonical bytes and hash, None when there is no such event."""

    async def find(self, query: EventQuery) -> Page:
        """The ids of the events that a query selects. Raises SearchStopped; a cancelled search ends soon after."""

    async def find_some(self, query: EventQuery) -> Page:
        """What is found of them in a bounded time, which may be nothing: all that fit up to `Page.reached`.

        For streams, which go on from there. Raises SearchStopped only when the store is closing.
        """

    def read(self, ids: Sequence[int], page_format: PageFormat) -> AsyncIterator[bytes]:
        """The events of `ids`, in that order, as chunks of ready bytes of bounded size, which are not held here."""

    def read_small(self, ids: Sequence[int], page_format: PageFormat) -> bytes | None:
        """All of it at once when it is quickly read and small; otherwise None."""

    async def close(self) -> None:
        """Commit what is queued, answer every waiter and release the file."""
