"""The chain: each event's hash covers its canonical bytes, which hold the previous event's hash.

`docs/chain.md` says what that proves and what it cannot; `event_check.py` checks it. Pure functions on bytes; no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from audit_stream.canonical import UnlinkedEvent, hash_of, join
from audit_stream.numbers import Count, DurationMs, EventId
from audit_stream.timestamps import Instant

__all__ = ["GENESIS", "GENESIS_HASH", "ChainedEvent", "Hash", "Head", "Verdict", "link"]

GENESIS_HASH = "0" * 64
"""The prev_hash of event 1."""

Hash = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]
"""A field with a hash; the schema says so, decoding takes any text, so that a wrong one can be shown."""


class Head(msgspec.Struct, frozen=True):
    """The last event of a chain; event_id 0 and GENESIS_HASH when the chain is empty."""

    event_id: EventId
    hash: Hash


GENESIS = Head(0, GENESIS_HASH)


class ChainedEvent(msgspec.Struct, frozen=True, gc=False):  # in no cycle, and there are tens of thousands of them
    """An event at its place in the chain."""

    event_id: int
    prepared: UnlinkedEvent
    canonical: bytes
    hash: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a verification of the whole chain found (0.1.0: `ChainVerificationResult`), and what it speaks of.

    `checked` events hold; `first_break_at` is the event_id at which the chain first fails to, None when it is valid.
    `head` is the last event that holds. `started_at` and `verified_at` are RFC 3339: an edit made before `started_at`
    is seen. What is None or empty here, and so absent from the JSON, a daemon of version 0.1.0 does not say.
    """

    valid: bool
    checked: Count
    first_break_at: EventId | None
    reason: str | None
    head: Head | None = None
    duration_ms: DurationMs | None = None
    started_at: Instant = ""
    verified_at: Instant = ""


def link(head: Head, events: Iterable[UnlinkedEvent]) -> Iterator[ChainedEvent]:
    """Append prepared events after `head`: number, link and hash each."""
    event_id, prev_hash = head.event_id, head.hash
    for prepared in events:
        event_id += 1
        canonical = join(event_id, prepared, prev_hash)
        prev_hash = hash_of(canonical)
        yield ChainedEvent(event_id, prepared, canonical, prev_hash)
