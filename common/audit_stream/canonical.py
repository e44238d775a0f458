"""Canonical bytes: what is hashed, stored and served.

The canonical form of an event is what Python's

    json.dumps(fields_without_hash, sort_keys=True, separators=(",", ":"))

gives, in ASCII. `docs/chain.md` specifies it for other languages; audit-stream 0.1.0 hashes the same bytes.

The six keys sort as event_id, kind, payload, prev_hash, source, timestamp. Only event_id and prev_hash are unknown
until the event has its place in the chain, so everything around them is prepared beforehand (`UnlinkedEvent`) and the
writer only joins five pieces: this halves the cost of encoding the whole event.
"""

from __future__ import annotations

import functools
import hashlib
import json
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]  # what json.dumps uses
from typing import Any, NamedTuple

import msgspec

from audit_stream.errors import EventRejected

__all__ = [
    "MAX_CANONICAL_BYTES",
    "Envelope",
    "UnlinkedEvent",
    "canonical_bytes",
    "canonical_event",
    "hash_of",
    "join",
    "prepare",
    "read_envelope",
    "splice_hash",
]

MAX_CANONICAL_BYTES = 65_535
"""The longest canonical form: C2SP tlog-tiles bundles give each entry a 16-bit length."""

_ID_DIGITS = 19  # of 2**63 - 1, the largest event_id that SQLite can hold
_FIXED_BYTES = len(b'{"event_id":') + _ID_DIGITS + 64

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode

if c_make_encoder is not None:
    # json.dumps makes such an encoder for every call, which costs as much as encoding a usual payload with it. No check
    # for cycles: what was decoded from JSON has none, and the C code stops at Python's recursion limit.
    _payload_pieces = c_make_encoder(None, None, encode_basestring_ascii, None, ":", ",", True, False, False)

    def _encode_payload(o: Any) -> str:
        return "".join(_payload_pieces(o, 0))
else:
    _encode_payload = _encode  # a Python without the C accelerator


class UnlinkedEvent(NamedTuple):
    """An accepted event before it has its place: canonical bytes on both sides of event_id and prev_hash.

    `time_ms` is the timestamp as Unix milliseconds, or None when an imported one is not RFC 3339.
    """

    kind: str
    source: str
    time_ms: int | None
    middle: bytes
    tail: bytes


class Envelope(msgspec.Struct, frozen=True):
    """The fields of an event's canonical bytes, with the payload still as bytes."""

    event_id: int
    kind: str
    payload: msgspec.Raw
    prev_hash: str
    source: str
    timestamp: str


_envelope_decoder = msgspec.json.Decoder(Envelope)


def prepare(*, kind: str, source: str, payload: dict[str, Any], timestamp: str, time_ms: int | None) -> UnlinkedEvent:
    """Encode all of an event that does not depend on its place in the chain.

    Raises EventRejected when the canonical form could exceed MAX_CANONICAL_BYTES (an id of 19 digits is assumed, so
    that the answer does not depend on how long the chain is).
    """
    middle = f'{_before_payload(kind)}{_encode_payload(payload)},"prev_hash":"'.encode("ascii")
    tail = f"{_before_timestamp(source)}{encode_basestring_ascii(timestamp)}}}".encode("ascii")
    size = _FIXED_BYTES + len(middle) + len(tail)
    if size > MAX_CANONICAL_BYTES:
        raise EventRejected(
            "payload",
            f"the event would take {size} bytes in canonical form, where non-ASCII characters take 6 or 12 bytes; "
            f"{MAX_CANONICAL_BYTES} are allowed: store the document elsewhere and send its hash and address",
        )
    return UnlinkedEvent(kind, source, time_ms, middle, tail)


@functools.lru_cache(maxsize=1024)
def _before_payload(kind: str) -> str:
    return f',"kind":{encode_basestring_ascii(kind)},"payload":'


@functools.lru_cache(maxsize=4096)
def _before_timestamp(source: str) -> str:
    return f'","source":{encode_basestring_ascii(source)},"timestamp":'


def join(event_id: int, prepared: UnlinkedEvent, prev_hash: str) -> bytes:
    """The canonical bytes of a prepared event at its place. `prev_hash` is 64 hex characters."""
    return b'{"event_id":%d%b%b%b' % (event_id, prepared.middle, prev_hash.encode("ascii"), prepared.tail)


def canonical_bytes(fields: dict[str, Any]) -> bytes:
    """The canonical form of an event given as a dict; a `hash` key is left out. Raises ValueError for NaN."""
    return _encode({key: value for key, value in fields.items() if key != "hash"}).encode("ascii")


def hash_of(canonical: bytes) -> str:
    """The event's hash: SHA-256 of its canonical bytes, 64 lower-case hex characters."""
    return hashlib.sha256(canonical).hexdigest()


def splice_hash(canonical: bytes, hash_: str) -> bytes:
    """The event as it is served: its canonical bytes with `hash` put in as the last key; nothing is re-encoded."""
    return b'%b,"hash":"%b"}' % (canonical[:-1], hash_.encode("ascii"))


def read_envelope(canonical: bytes) -> Envelope:
    """The fields of canonical bytes. Raises msgspec.DecodeError or UnicodeDecodeError on bytes that are no event."""
    return _envelope_decoder.decode(canonical)


def canonical_event(served: bytes) -> bytes:
    """Undo `splice_hash`: the canonical bytes of an event as it was served, without decoding it.

    Raises ValueError when `hash` is not the last key.
    """
    head, mark, tail = served.rpartition(b',"hash":"')
    if not mark or len(tail) != 66 or not tail.endswith(b'"}'):
        raise ValueError("the last key of a served event must be its hash")
    return head + b"}"
