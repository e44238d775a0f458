"""The root of all errors of ours, in every package, and what can go wrong in the shared language.

    AuditStreamError
    ├── EventRejected       what a producer sent is not an event; names the field
    ├── TimestampError      not an RFC 3339 instant (also a ValueError)
    ├── KindError           a kind name or a list of extra kinds is malformed (also a ValueError)
    ├── ChainError          an exported chain does not verify; carries the verdict's reason
    └── ClientError         the daemon could not be reached, or its answer was not what it should be

The filter language adds `filters.FilterError`, a log's file `logfile.errors.StoreError` and what is under it, its
verification `logfile.asking.NoVerdictError`; the daemon and the console have theirs where they are raised.
"""

from __future__ import annotations

__all__ = ["AuditStreamError", "ChainError", "ClientError", "EventRejected", "KindError", "TimestampError"]


class AuditStreamError(Exception):
    """Every error that our packages raise on purpose; a test finds one that is not under it."""


class EventRejected(AuditStreamError):
    """An event that must not enter the chain: `field` is its JSON path in the body, `reason` says what to do.

    `str()` gives both in one sentence and never repeats a payload's content.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class TimestampError(AuditStreamError, ValueError):
    """A text that is not an RFC 3339 instant with an offset."""


class KindError(AuditStreamError, ValueError):
    """A kind name, severity or list of extra kinds that cannot be used."""


class ChainError(AuditStreamError):
    """An exported chain that does not verify at `event_id`; `reason` is worded as in the verdict."""

    def __init__(self, event_id: int, reason: str) -> None:
        super().__init__(reason)
        self.event_id = event_id
        self.reason = reason


class ClientError(AuditStreamError):
    """The daemon was not reached or refused.

    `status` is the HTTP status; None when there was no answer, or no question, because its arguments cannot be sent.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
