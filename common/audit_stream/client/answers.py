"""What the daemon answers. A verdict is `chain.Verdict`."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from audit_stream.chain import GENESIS, GENESIS_HASH, Head, Verdict
from audit_stream.errors import ClientError
from audit_stream.event import Event
from audit_stream.numbers import MAX_COUNT, Count, EventId, Rate

__all__ = ["Appended", "RawEvent", "Receipt", "Stats", "decode"]

_T = TypeVar("_T")


class RawEvent(msgspec.Struct, frozen=True):
    """An event exactly as the daemon sent it: one JSON object in ASCII, without a line break."""

    raw: bytes

    def decode(self) -> Event:
        """Its fields. Raises ClientError when the bytes are no event."""
        return decode(self.raw, Event)


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon says of its log. `rates_per_second` is keyed by the span that each is taken over.

    `by_source` names the 1,000 of all `sources` with the most events; `events_of_other_sources` are those of the rest.
    `severities` are the labels of kinds that the daemon's operator has added to `DEFAULT_KINDS`, or changed.
    """

    count: Count
    last_event_id: EventId | None = None
    latest_hash: str | None = None
    by_kind: dict[str, Count] = {}
    by_source: dict[str, Count] = {}
    sources: Count = 0
    events_of_other_sources: Count = 0
    severities: dict[str, str] = {}
    rates_per_second: dict[str, Rate] = {}
    subscribers: Count = 0
    database_bytes: Count = 0
    last_verdict: Verdict | None = None

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return Head(self.last_event_id, self.latest_hash or GENESIS_HASH) if self.last_event_id else GENESIS


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is on the daemon's disk. `replayed`: it already was, from an earlier try with the same key."""

    event: RawEvent
    replayed: bool


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is on the daemon's disk."""

    count: Count
    first_event_id: EventId
    last_event_id: EventId
    latest_hash: str
    replayed: bool = False


def decode(body: bytes, type_: type[_T]) -> _T:
    """An answer's JSON as a Struct. Raises ClientError when it is none of these."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"the daemon's answer is not what it should be: {_words(error)}", status=200) from None


_OUT_OF_BOUNDS = re.compile(
    r"(?:Expected `(?:int|float)` (?:<= (?P<most>\S+)|>= 0)|(?:Integer value|Number) out of range)"
    r" - at `\$\.?(?P<field>(?!payload).*)`"
)


def _words(error: Exception) -> str:
    """msgspec's, but for a number beyond its bounds: it names only the one that was missed, or none."""
    match = _OUT_OF_BOUNDS.fullmatch(str(error))
    if match is None:
        return str(error)
    return f"{match['field']} is no number from 0 to {match['most'] or MAX_COUNT}"
