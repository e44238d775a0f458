"""What a daemon answers beside events and verdicts (`event.Event`, `chain.Verdict`): the fields of each, once.

The daemon makes its JSON of these Structs, in this order; the client reads it into them; `GET /schema` describes them.
A daemon of this version sends every field. A default stands for what audit-stream 0.1.0 leaves out, and fields that a
later version adds are read over.

Not in `wire.py`, which is read before a screen or a usage error is shown and loads nothing; not in the client, whose
HTTP library the daemon does without.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from audit_stream.chain import GENESIS, GENESIS_HASH, Hash, Head, Verdict
from audit_stream.kinds import Severity
from audit_stream.numbers import AppendedId, Count, EventId, Rate

__all__ = ["BatchReceipt", "Liveness", "ProblemDetails", "Readiness", "Service", "Stats", "WriteQueue"]

_SeverityLabel = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": [severity.label for severity in Severity]})
]  # described only: a client reads what a daemon with more severities says


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Name, version and endpoints: method and path, and what each is for."""

    name: str
    version: str
    description: str
    endpoints: dict[str, str]


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """Alive: it answers."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether events can be appended, and why not."""

    status: Literal["ok", "unavailable"]
    reasons: list[str]


class BatchReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is on the daemon's disk."""

    count: Count
    first_event_id: AppendedId
    last_event_id: AppendedId
    latest_hash: Hash


class WriteQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for the disk."""

    events: Count = 0
    bytes: Count = 0


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon says of its log. `rates_per_second` is keyed by the span that each is taken over.

    `by_source` names the 1,000 of all `sources` with the most events; `events_of_other_sources` are those of the rest.
    `severities` are the labels of kinds that the daemon's operator has added to the built-in ones, or changed.
    """

    count: Count
    last_event_id: EventId | None = None
    latest_hash: Hash | None = None
    by_kind: dict[str, Count] = {}
    by_source: dict[str, Count] = {}
    sources: Count = 0
    events_of_other_sources: Count = 0
    severities: dict[str, _SeverityLabel] = {}
    rates_per_second: dict[str, Rate] = {}
    subscribers: Count = 0
    database_bytes: Count = 0
    write_queue: WriteQueue = WriteQueue()
    last_verdict: Verdict | None = None

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return Head(self.last_event_id, self.latest_hash or GENESIS_HASH) if self.last_event_id else GENESIS


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An error (RFC 9457)."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    """No more than what the status says, but for the detail (RFC 9457, 4.2.1). It comes last, since producers log the
    first 200 characters of an answer."""
