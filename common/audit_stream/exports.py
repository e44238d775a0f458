"""Exported events as daemons since 0.1.0 give them: what one is, and whether a whole chain of them holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from audit_stream.canonical import canonical_bytes, hash_of
from audit_stream.chain import GENESIS_HASH
from audit_stream.errors import ChainError
from audit_stream.event_check import check_link, hash_mismatch

__all__ = ["EVENT_FIELDS", "is_event", "verify_export"]

EVENT_FIELDS: dict[str, type] = {
    "event_id": int,
    "timestamp": str,
    "kind": str,
    "source": str,
    "payload": dict,
    "prev_hash": str,
    "hash": str,
}
"""In the order of 0.1.0."""


def is_event(fields: object) -> bool:
    """Whether what Python's `json` has read has just the fields of an event, whatever they hold."""
    return isinstance(fields, dict) and {name: type(value) for name, value in fields.items()} == EVENT_FIELDS


def verify_export(
    events: Iterable[dict[str, Any]], *, hashed: Callable[[dict[str, Any]], bytes | None] | None = None
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Check events as `GET /events` exports them, from event 1 on; yields each one's canonical bytes and fields.

    The export of audit-stream 0.1.0 is not canonical text, so the bytes are encoded anew; that the hash fits them
    proves that they are the bytes which were hashed. `hashed` gives the bytes that have an event's hash, None when it
    finds none, for those who look further than the canonical form. Raises ChainError at the first event that does not
    fit.
    """
    expected_id, expected_prev = 1, GENESIS_HASH
    for fields in events:
        reason = check_link(expected_id, expected_prev, event_id=fields["event_id"], prev_hash=fields["prev_hash"])
        if reason is not None:
            raise ChainError(expected_id, reason)
        canonical = (hashed or _canonical_if_it_fits)(fields)
        if canonical is None:
            raise ChainError(expected_id, hash_mismatch(expected_id))
        yield canonical, fields
        expected_id, expected_prev = expected_id + 1, fields["hash"]


def _canonical_if_it_fits(fields: dict[str, Any]) -> bytes | None:
    canonical = canonical_bytes(fields)
    return canonical if hash_of(canonical) == fields["hash"] else None
