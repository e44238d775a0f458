"""What the daemon says, read: events as their bytes, all else as the Structs of `answers.py`."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from audit_stream.answers import BatchReceipt
from audit_stream.errors import ClientError
from audit_stream.event import Event
from audit_stream.numbers import MAX_COUNT

__all__ = ["Appended", "RawEvent", "Receipt", "decode"]

_T = TypeVar("_T")


class RawEvent(msgspec.Struct, frozen=True):
    """An event exactly as the daemon sent it: one JSON object in ASCII, without a line break."""

    raw: bytes

    def decode(self) -> Event:
        """Its fields. Raises ClientError when the bytes are no event."""
        return decode(self.raw, Event)


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is on the daemon's disk. `replayed`: it already was, from an earlier try with the same key."""

    event: RawEvent
    replayed: bool


class Receipt(BatchReceipt, frozen=True, kw_only=True):
    """A batch that is on the daemon's disk. `replayed` as for an event."""

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
