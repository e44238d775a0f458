"""What the daemon asks of a store. SQLite is behind it today; a PostgreSQL store for many daemons must fit too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import lru_cache
from string import Formatter
from typing import Protocol

import msgspec

from audit_stream.canonical import Prepared
from audit_stream.chain import Head, Linked
from audit_stream.filters import Filter

__all__ = [
    "EVERYTHING",
    "Criteria",
    "EventQuery",
    "Health",
    "IdempotencyConflict",
    "IdempotencyKey",
    "Layout",
    "Page",
    "Receipt",
    "SearchStopped",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreLocked",
    "StoreUnavailable",
    "StoreUnusable",
]


class StoreError(Exception):
    """What a store can answer instead of a receipt.

    StoreError
    ├── StoreBusy            the queue is full: retry after a second, nothing was queued
    ├── SearchStopped        a search took too long, or the daemon stops
    ├── StoreUnavailable     the disk refused, or the daemon stops: nothing was acknowledged
    ├── IdempotencyConflict  the key was used by this source for another body
    ├── StoreLocked          another daemon holds the file
    └── StoreUnusable        the file cannot be opened as a store
    """


class StoreBusy(StoreError):
    """The write queue is full. Nothing was queued."""


class StoreUnavailable(StoreError):
    """The append failed or its outcome is unknown; the text is the reason."""


class SearchStopped(StoreError):
    """A search that was given up before its end; the text is the reason and what to do."""


class IdempotencyConflict(StoreError):
    """The same key from the same source came with another body."""


class StoreLocked(StoreError):
    """Another daemon writes to the file."""


class StoreUnusable(StoreError):
    """The file is no store of ours, of a newer version, or cannot be opened."""


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """A producer's retry key. `digest` is the SHA-256 (32 bytes) of what was asked, apart from what we stamp."""

    source: str
    key: str
    digest: bytes


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """An append that is on disk. `events` is empty for a replay: the first answer's events are in the store."""

    first_event_id: int
    last_event_id: int
    latest_hash: str
    replayed: bool
    events: Sequence[Linked] = ()


class Criteria(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What an event must be like, wherever it stands in the log. None admits all; times are inclusive bounds."""

    kinds: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    filter: Filter | None = None

    @property
    def scans(self) -> bool:
        """Whether events must be looked at one by one to find those that fit."""
        return any(bound is not None for bound in (self.filter, self.since_ms, self.until_ms))


EVERYTHING = Criteria()


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to read; ids are inclusive bounds.

    `forward` reads from the oldest that fits, otherwise from the newest; `limit` cuts what is read, and
    `newest_first` orders what is answered.
    """

    criteria: Criteria = EVERYTHING
    min_id: int = 1
    max_id: int | None = None
    limit: int = 1000
    forward: bool = False
    newest_first: bool = False


class Layout(msgspec.Struct, frozen=True, cache_hash=True):
    """How a page is written, so that a store can do it where its rows are.

    `text` is one event's, with `{kind}`, `{event_id}` and `{event}`, the event as it is served; `between` stands
    between two events.
    """

    text: str
    between: str = ""

    def render(self, *, kind: str, event_id: int, event: bytes) -> bytes:
        """One event's text; what a store reads in this layout is these bytes."""
        one_line = kind.replace("\n", " ").replace("\r", " ")  # an imported one must not begin a line of its own
        return _template(self) % {b"kind": one_line.encode(), b"event_id": b"%d" % event_id, b"event": event}


@lru_cache
def _template(layout: Layout) -> bytes:
    """The text for bytes' own formatting, which takes a third of the time of str.format and its conversions."""
    return b"".join(
        literal.replace("%", "%%").encode() + (b"" if field is None else b"%%(%b)b" % field.encode())
        for literal, field, _, _ in Formatter().parse(layout.text)
    )


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that a query found, in the order of the answer, and whether more events fit beyond them."""

    ids: Sequence[int]
    more: bool


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the store can append. `problem` is None when it can."""

    problem: str | None
    queued_events: int
    queued_bytes: int
    commits: int
    failed_commits: int
    size_bytes: int


class Store(Protocol):
    """A durable chain of events. All methods may be called from the event loop's thread and never block it."""

    @property
    def head(self) -> Head:
        """The last committed event."""

    @property
    def health(self) -> Health:
        """The state of the write path."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Events by (kind, source), as of `head`."""

    async def append(self, events: Sequence[Prepared], key: IdempotencyKey | None = None) -> Receipt:
        """Append all or none. On return they are on disk. Raises StoreError."""

    def on_commit(self, listener: Callable[[Sequence[Linked]], None]) -> None:
        """Call `listener` on the event loop's thread with each commit's events, in chain order, without gaps."""

    def event(self, event_id: int) -> tuple[bytes, str] | None:
        """An event's canonical bytes and hash, None when there is no such event."""

    async def find(self, query: EventQuery) -> Page:
        """The ids of the events that a query selects. Raises SearchStopped; a cancelled search ends soon after."""

    def read(self, ids: Sequence[int], layout: Layout) -> AsyncIterator[bytes]:
        """The events of `ids`, in that order, as chunks of ready bytes of bounded size."""

    async def close(self) -> None:
        """Commit what is queued, answer every waiter and release the file."""
