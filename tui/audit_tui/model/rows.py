"""An event as the console holds it, and what the console itself knows of its place in the chain."""

from __future__ import annotations

import enum
import sys
from typing import Any

import msgspec

from audit_stream.client import RawEvent
from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_stream.event import Event
from audit_stream.event_check import check_served
from audit_stream.kinds import KindRegistry, Severity
from audit_stream.numbers import EventId, read_float
from audit_stream.timestamps import time_ms_or_none

__all__ = [
    "MALFORMED",
    "Check",
    "Gap",
    "Row",
    "check_after",
    "event_id_of",
    "no_event",
    "read_event",
    "read_row",
]

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was expected."""


class Check(enum.IntEnum):
    """What the console's own recomputation says of one event; the worst last."""

    LINKED = 0
    """The hash fits the bytes, and prev_hash is the hash of the event before, which this console has seen."""
    GAP = 1
    """The hash fits the bytes; the event before has not been seen."""
    NOT_CHECKED = 2
    BROKEN = 3


_LINKED, _GAP = Check.LINKED, Check.GAP
"""Looking up a member of an enum would be a tenth of the time that checking an event takes."""


class Row(msgspec.Struct, gc=False):  # in no cycle, and there are tens of thousands of them
    """One event. `raw` is exactly what was received; everything else is derived from it.

    `check` and `reason` (empty unless broken, in the verdict's words) become known later, so they may change.
    `follows`: the log gave it in one answer with the event before it in memory, so that it holds none between the two.
    """

    event_id: int
    kind: str
    source: str
    severity: Severity
    raw: bytes
    check: Check = Check.NOT_CHECKED
    reason: str = ""
    follows: bool = False

    @property
    def hash(self) -> str:
        """The hash that it was served with."""
        return _read_hash(self.raw).hash

    @property
    def prev_hash(self) -> str:
        """The hash of the event before, as this one says."""
        return _links.decode(self.raw).prev_hash

    @property
    def timestamp(self) -> str:
        """The timestamp as it was served: RFC 3339, unless it was imported."""
        return _links.decode(self.raw).timestamp

    @property
    def time_ms(self) -> int | None:
        """The timestamp as Unix milliseconds; None for an imported one that is no instant."""
        return time_ms_or_none(self.timestamp)

    @property
    def payload(self) -> dict[str, Any]:
        """The payload, decoded anew."""
        return self.event.payload

    @property
    def event(self) -> Event:
        """All fields, decoded anew."""
        return _events.decode(self.raw)


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Events that are not in memory between two that are: ids `first` to `last`, both included.

    `absent`: the log itself does not hold them, as far as the console has been told.
    """

    first: int
    last: int
    absent: bool = False

    @property
    def count(self) -> int:
        """How many events that are."""
        return self.last - self.first + 1


class _Hash(msgspec.Struct, gc=False):
    hash: str


class _Links(msgspec.Struct):
    prev_hash: str
    timestamp: str


class _Numbered(msgspec.Struct):
    event_id: EventId


_numbered = msgspec.json.Decoder(_Numbered)
_read_hash = msgspec.json.Decoder(_Hash).decode
_links = msgspec.json.Decoder(_Links)
_events = msgspec.json.Decoder(Event, float_hook=read_float)


def read_row(served: RawEvent, kinds: KindRegistry) -> Row:
    """An event that came in, not yet checked. Raises ClientError when it is none."""
    event = read_event(served.raw)  # all of it, so that nothing that is shown later can fail
    return Row(
        event_id=event.event_id,
        kind=sys.intern(event.kind),
        source=sys.intern(event.source),
        severity=kinds.severity(event.kind),
        raw=served.raw,
    )


def read_event(raw: bytes) -> Event:
    """All fields of an event as it was served. Raises ClientError when it is none."""
    try:
        return _events.decode(raw)
    except MALFORMED as error:
        raise no_event(error) from None


def event_id_of(served: RawEvent) -> int:
    """An event's id, without looking at the rest of it. Raises ClientError when it has none."""
    try:
        return _numbered.decode(served.raw).event_id
    except MALFORMED as error:
        raise no_event(error) from None


def no_event(error: Exception) -> ClientError:
    """What to raise when decoding what a log gave has failed with one of MALFORMED."""
    return ClientError(f"something came that is no event: {safe(str(error))}", status=200)


def check_after(before: Row | None, row: Row) -> None:
    """Set the row's `check` and `reason`: recompute its hash, and compare its link with the event before it.

    `before` is whatever row precedes it in memory; only one with the id right before can prove the link. Event 1 is
    linked by its 64 zeros.
    """
    found = check_served(row.raw, before)
    if not found.holds:
        row.check, row.reason = Check.BROKEN, found.reasons[0]
    else:
        row.check = _GAP if found.expected_prev is None else _LINKED
        row.reason = ""
