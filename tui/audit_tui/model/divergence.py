"""Where the histories of two logs part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice

import msgspec

from audit_stream.chain import Head, Verdict
from audit_stream.client import RawEvent
from audit_stream.display import safe
from audit_tui.log import Log
from audit_tui.model.event_diff import FieldPair, compare_events
from audit_tui.model.rows import read_event

__all__ = ["Divergence", "diverge"]

_MAX_FIELDS = 200


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """How the history of `one` log and that of the `other` relate.

    The first `shared` events are the same in both. `first_one` and `first_other` are the first that differ, both None
    when the one history only goes on where the other ends.
    """

    one_url: str
    other_url: str
    one: Head
    other: Head
    one_verdict: Verdict | None
    other_verdict: Verdict | None
    shared: int
    first_one: bytes | None = None
    first_other: bytes | None = None

    @property
    def diverge_at(self) -> int | None:
        """The id of the first event that differs; None when there is none."""
        return None if self.first_one is None and self.first_other is None else self.shared + 1

    @property
    def summary(self) -> str:
        """The result in one sentence, safe to show."""
        one, other = safe(self.one_url), safe(self.other_url)
        if self.diverge_at is not None:
            return (
                f"The histories diverge first at #{self.diverge_at:,}: the {self.shared:,} events before are the same."
            )
        behind = self.other.event_id - self.one.event_id
        if behind == 0:
            return f"Same history: {self.shared:,} events, head {safe(self.one.hash)}."
        late, early = (one, other) if behind > 0 else (other, one)
        return f"Same history as far as both go: {late} is {abs(behind):,} events behind {early}."

    @property
    def assumption(self) -> str:
        """What the result rests on: a hash fixes all events before it only in a chain that holds."""
        verdicts = [(self.one_url, self.one_verdict), (self.other_url, self.other_verdict)]
        broken = [
            f"{safe(url)} is broken at #{verdict.first_break_at}"
            for url, verdict in verdicts
            if verdict is not None and not verdict.valid
        ]
        if broken:
            return (
                f"Not to be relied on: {' and '.join(broken)}, so equal hashes do not prove equal events before them."
            )
        unknown = [safe(url) for url, verdict in verdicts if verdict is None]
        if unknown:
            return f"This assumes that both chains are valid; there is no verdict yet of {' and '.join(unknown)}."
        return "This assumes that both chains are valid, as their last verdicts say."

    def fields(self) -> list[FieldPair]:
        """The first events that differ, field by field. Raises ClientError when one of them is no event."""
        one, other = (None if raw is None else read_event(raw) for raw in (self.first_one, self.first_other))
        return list(islice(compare_events(one, other), _MAX_FIELDS))

    def as_text(self) -> str:
        """All of it in plain lines, for a ticket."""
        lines = [
            self.summary,
            self.assumption,
            f"one:   {safe(self.one_url)}  head #{self.one.event_id} {safe(self.one.hash)}",
            f"other: {safe(self.other_url)}  head #{self.other.event_id} {safe(self.other.hash)}",
        ]
        if self.diverge_at is not None:
            for pair in self.fields():
                lines.append(f"{'≠' if pair.differs else '='} {pair.field}")
                lines += [f"    one   {pair.one}", f"    other {pair.other}"] if pair.differs else [f"    {pair.one}"]
        return "\n".join(lines)


async def diverge(one: Log, other: Log, on_progress: Callable[[int, int], None]) -> Divergence:
    """Compare two logs by a binary search over ids, some 2·log₂(n) questions.

    That finds the first difference if both chains hold, because there an event's hash fixes all events before it.
    `on_progress` is called with steps done and in all. Raises ClientError.
    """
    one_stats, other_stats = await asyncio.gather(one.stats(), other.stats())
    common = min(one_stats.head.event_id, other_stats.head.event_id)
    total, done = common.bit_length() + 1, 0
    same, differs = 0, common + 1
    pair: tuple[bytes | None, bytes | None] = (None, None)
    place = common  # first of all the end: mostly two daemons have the same history
    while same + 1 < differs:
        found = await _both(one, other, place)
        if found[0] == found[1]:
            same = place
        else:
            differs, pair = place, found
        place = (same + differs) // 2
        done += 1
        on_progress(min(done, total), total)
    on_progress(total, total)
    return Divergence(
        one_url=one.url,
        other_url=other.url,
        one=one_stats.head,
        other=other_stats.head,
        one_verdict=one_stats.last_verdict,
        other_verdict=other_stats.last_verdict,
        shared=same,
        first_one=pair[0],
        first_other=pair[1],
    )


async def _both(one: Log, other: Log, event_id: int) -> tuple[bytes | None, bytes | None]:
    """The event of this id as each log serves it: bytes, so that an edit that kept the hash is seen as well."""
    found: list[RawEvent | None] = list(await asyncio.gather(one.event(event_id), other.event(event_id)))
    return (None if found[0] is None else found[0].raw), (None if found[1] is None else found[1].raw)
