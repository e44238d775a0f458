"""An event as it is served, whatever somebody has put into its row: always one line, always JSON."""

from __future__ import annotations

import json
from typing import Annotated, NoReturn

import msgspec

from audit_stream.canonical import splice_hash
from audit_stream.chain import GENESIS_HASH
from audit_stream.logfile.canonical_form import encoded, event_fields

__all__ = ["are_served_events", "is_json", "served_event", "with_claimed_hash"]


class _Object(msgspec.Struct):
    """Any JSON object: fields that are not known are read over."""


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    """What every reader expects of an event."""

    event_id: int
    kind: str
    payload: _Object
    prev_hash: str
    source: str
    timestamp: str
    hash: Annotated[str, msgspec.Meta(min_length=64, max_length=64)]


_BETWEEN = b'}\n{"event_id":'

_shapes = msgspec.json.Decoder(_Shape)


def are_served_events(lines: bytes, count: int) -> bool:
    """Whether this is `count` events, each on a line of its own, without a line feed after the last.

    True proves it; False may only mean that an event was imported and has something unusual, such as half a surrogate.
    No JSON has an object right after another, so that the line feeds between two stand between two events.
    """
    line_feeds = len(lines) - len(lines.replace(b"\n", b""))  # a sixth of the time of `count`
    if not lines.isascii() or b"\r" in lines or not line_feeds == lines.count(_BETWEEN) == count - 1:
        return False
    try:
        return len(_shapes.decode_lines(lines)) == count
    except (ValueError, RecursionError):
        return False


def served_event(event_id: int, canonical: bytes, hash_: str) -> bytes:
    """The event with the hash that its row claims.

    Bytes that are no event are served as an object that says so, has the fields of an event, and holds for nobody who
    checks its hash. Numbers that are none (NaN, infinities), which 0.1.0 hashed, are null, as it served them. The bytes
    themselves are at `/events/{id}/canonical`.
    """
    if canonical.endswith(b"}") and is_json(canonical) and event_fields(canonical) is not None:
        return with_claimed_hash(canonical, hash_)
    fields = event_fields(canonical)
    if fields is not None and encoded(fields).encode("ascii") == canonical:
        return with_claimed_hash(encoded(json.loads(canonical, parse_constant=lambda _: None)).encode("ascii"), hash_)
    why = f"the {len(canonical)} bytes that are stored here are no event: GET /verify, and /events/{event_id}/canonical"
    return splice_hash(
        encoded(
            {
                "event_id": event_id,
                "kind": "other",
                "payload": {"not_an_event": why},
                "prev_hash": GENESIS_HASH,
                "source": "audit-stream/not-an-event",
                "timestamp": "1970-01-01T00:00:00.000+00:00",
            }
        ).encode("ascii"),
        GENESIS_HASH,
    )


def with_claimed_hash(canonical: bytes, hash_: str) -> bytes:
    """The event with the hash that it claims: JSON, as long as `canonical` is.

    A hash that is none is escaped, so that the event can be read, and is found broken.
    """
    storable = hash_.encode("utf-8", "backslashreplace").decode()  # half a character cannot be read again
    return splice_hash(canonical, json.dumps(storable)[1:-1])


def is_json(canonical: bytes) -> bool:
    """Whether bytes are JSON (RFC 8259) on one line, in ASCII."""
    try:
        text = canonical.decode("ascii")
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return min(text) >= " "


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
