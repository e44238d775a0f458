"""An event as the console holds it, and what the console itself knows of its place in the chain."""

from __future__ import annotations

import enum
import sys
from typing import Any

import msgspec

from audit_stream.canonical import canonical_event, hash_of
from audit_stream.chain import GENESIS_HASH
from audit_stream.client import RawEvent
from audit_stream.display import safe
from audit_stream.errors import ClientError
from audit_stream.event import Event
from audit_stream.kinds import KindRegistry, Severity
from audit_stream.numbers import EventId, read_float

__all__ = [
    "MALFORMED",
    "Check",
    "Gap",
    "Row",
    "check_after",
    "event_id_of",
    "hash_fits",
    "no_event",
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
    def canonical(self) -> bytes:
        """The bytes that were hashed. Raises ValueError when what was received is not in that form."""
        return canonical_event(self.raw)

    @property
    def hash(self) -> str:
        """The hash that it was served with."""
        return _links.decode(self.raw).hash

    @property
    def prev_hash(self) -> str:
        """The hash of the event before, as this one says."""
        return _links.decode(self.raw).prev_hash

    @property
    def timestamp(self) -> str:
        """The timestamp as it was served: RFC 3339, unless it was imported."""
        return _links.decode(self.raw).timestamp

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


class _Links(msgspec.Struct):
    hash: str
    prev_hash: str
    timestamp: str


class _Numbered(msgspec.Struct):
    event_id: EventId


_numbered = msgspec.json.Decoder(_Numbered)
_links = msgspec.json.Decoder(_Links)
_events = msgspec.json.Decoder(Event, float_hook=read_float)


def read_row(served: RawEvent, kinds: KindRegistry) -> Row:
    """An event that came in, not yet checked. Raises ClientError when it is none."""
    try:
        event = _events.decode(served.raw)  # all of it, so that nothing that is shown later can fail
    except MALFORMED as error:
        raise no_event(error) from None
    return Row(
        event_id=event.event_id,
        kind=sys.intern(event.kind),
        source=sys.intern(event.source),
        severity=kinds.severity(event.kind),
        raw=served.raw,
    )


def event_id_of(served: RawEvent) -> int:
    """An event's id, without looking at the rest of it. Raises ClientError when it has none."""
    try:
        return _numbered.decode(served.raw).event_id
    except MALFORMED as error:
        raise no_event(error) from None


def no_event(error: Exception) -> ClientError:
    """What to raise when decoding what a log gave has failed with one of MALFORMED."""
    return ClientError(f"something came that is no event: {safe(str(error))}", status=200)


def hash_fits(raw: bytes, hash_: str) -> bool:
    """Whether an event as it was served has this hash; not if its bytes are in no form that is hashed."""
    try:
        return hash_of(canonical_event(raw)) == hash_
    except ValueError:
        return False


def check_after(before: Row | None, row: Row) -> None:
    """Set the row's `check` and `reason`: recompute its hash, and compare its link with the event before it.

    `before` is whatever row precedes it in memory; only one with the id right before can prove the link. Event 1 is
    linked by its 64 zeros.
    """
    links = _links.decode(row.raw)
    if not hash_fits(row.raw, links.hash):
        row.check, row.reason = Check.BROKEN, f"hash mismatch at event #{row.event_id}"
    elif row.event_id == 1 or (before is not None and before.event_id == row.event_id - 1):
        expected = GENESIS_HASH if row.event_id == 1 or before is None else before.hash
        if links.prev_hash == expected:
            row.check, row.reason = Check.LINKED, ""
        else:
            row.check, row.reason = Check.BROKEN, f"prev_hash mismatch at event #{row.event_id}"
    else:
        row.check, row.reason = Check.GAP, ""
