"""Whether one event holds: what it carries, what its bytes give, what is expected of it, and that in words.

Everything that judges events uses this. Only the loop over a database (`logfile/segment.py`) has a faster path for
events that hold; a property test holds it to the same answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from audit_stream.canonical import canonical_bytes, canonical_event, hash_of
from audit_stream.chain import GENESIS_HASH
from audit_stream.numbers import read_float

if TYPE_CHECKING:
    from audit_stream.event import Event  # the verifying process starts sooner without it

__all__ = ["EventCheck", "check_link", "check_served", "hash_mismatch"]


class EventCheck(msgspec.Struct, frozen=True, gc=False):
    """An event beside what was computed from its bytes and what the event before demands.

    `canonical` are the bytes that were hashed, None when what was served is not in that form; `computed_hash` is
    theirs. `expected_prev` is the hash of the event before, 64 zeros for event 1, None while it is not known.
    """

    event_id: int
    canonical: bytes | None
    computed_hash: str | None
    carried_hash: str
    expected_prev: str | None
    carried_prev: str

    @property
    def hash_fits(self) -> bool:
        """Whether the hash that it carries is that of its bytes."""
        return self.computed_hash == self.carried_hash

    @property
    def link_holds(self) -> bool | None:
        """Whether prev_hash is the hash of the event before; None while that is not known."""
        return None if self.expected_prev is None else self.carried_prev == self.expected_prev

    @property
    def holds(self) -> bool:
        """Whether nothing that is known speaks against it."""
        expected = self.expected_prev
        return self.computed_hash == self.carried_hash and (expected is None or expected == self.carried_prev)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What does not hold, in the words and the order of a verdict; empty when nothing is known against it."""
        link = () if self.link_holds is not False else (_link_mismatch(self.event_id),)
        return link if self.hash_fits else (*link, hash_mismatch(self.event_id))

    @property
    def words(self) -> str:
        """In one line with its mark: what holds, what does not, and what is not known."""
        if not self.hash_fits:
            return "✗ BROKEN: the hash does not fit the bytes"
        if self.link_holds is None:
            return "~ hash fits, link not checked"
        return "✓ linked" if self.link_holds else "✗ BROKEN: prev_hash is not the hash of the event before"

    @property
    def summary(self) -> str:
        """What is wrong with it, for a ticket, after "Event #N: "."""
        problems = []
        if self.computed_hash is None:
            problems.append("its bytes are not in canonical form")
        elif not self.hash_fits:
            problems.append("its bytes do not have the hash that it carries")
        if self.link_holds is False:
            problems.append("it does not link to the event before")
        return " and ".join(problems) or "as received now it holds"

    @property
    def not_canonical(self) -> str:
        """Why the bytes are not the canonical form of its fields, computed anew; "" when they are."""
        if self.canonical is None:
            return "the last key of a served event must be its hash"
        try:
            anew = canonical_bytes(_read_fields(self.canonical))
        except (ValueError, RecursionError) as error:
            return f"its fields cannot be encoded anew: {error}"
        return "" if anew == self.canonical else "encoding its fields anew gives other bytes"


class _Placed(Protocol):
    """A head, or an event in any form."""

    @property
    def event_id(self) -> int: ...

    @property
    def hash(self) -> str: ...


class _Carried(msgspec.Struct, gc=False):
    """What an event says of its place."""

    event_id: int
    prev_hash: str
    hash: str


_read_carried = msgspec.json.Decoder(_Carried).decode
_read_fields = msgspec.json.Decoder(dict[str, Any], float_hook=read_float).decode


def check_served(served: bytes, before: _Placed | None, *, event: Event | None = None) -> EventCheck:
    """Check an event as it was served; `before` counts only when its id is the one right before.

    `event` are its fields, from whoever has read them already. Otherwise raises what msgspec does for bytes that are no
    event: DecodeError, UnicodeDecodeError, RecursionError.
    """
    carried = _read_carried(served) if event is None else event
    event_id = carried.event_id
    canonical: bytes | None
    expected: str | None = None
    try:
        canonical = canonical_event(served)
        computed = hash_of(canonical)
    except ValueError:  # in no form that is hashed
        canonical = computed = None
    if event_id == 1:
        expected = GENESIS_HASH
    elif before is not None and before.event_id == event_id - 1:
        expected = before.hash
    return EventCheck(event_id, canonical, computed, carried.hash, expected, carried.prev_hash)


def check_link(expected_id: int, expected_prev: str, *, event_id: int, prev_hash: str) -> str | None:
    """Why an event does not follow the one before it, in the words of 0.1.0; None when it does."""
    if event_id != expected_id:
        return f"event_id should be {expected_id}, got {event_id}"
    return None if prev_hash == expected_prev else _link_mismatch(expected_id)


def _link_mismatch(event_id: int) -> str:
    return f"prev_hash mismatch at event #{event_id}"


def hash_mismatch(event_id: int) -> str:
    """What a verdict says of an event whose hash is not that of its bytes."""
    return f"hash mismatch at event #{event_id}"
