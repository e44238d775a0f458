"""What a log's file can answer instead of what was asked. The daemon's store adds what only a writer can meet."""

from __future__ import annotations

from audit_stream.errors import AuditStreamError

__all__ = ["SearchStopped", "StoreError", "StoreUnusable"]


class StoreError(AuditStreamError):
    """What a store can answer instead of what was asked.

    StoreError
    ├── SearchStopped     a search took too long, or its reader goes away
    ├── StoreUnusable     the file cannot be opened as a store
    └── …                 the daemon's own: `audit_daemon.store.protocol`
    """


class SearchStopped(StoreError):
    """A search that was given up before its end; the text is the reason and what to do."""


class StoreUnusable(StoreError):
    """The file is no store of ours, of a newer version, or cannot be opened."""
