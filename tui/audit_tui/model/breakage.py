"""One broken event explained: which hash or link does not fit, and which field differs where that can be told."""

from __future__ import annotations

from itertools import islice

import msgspec

from audit_stream.display import safe
from audit_stream.event_check import EventCheck, check_served
from audit_tui.model.event_diff import FieldPair, compare_events
from audit_tui.model.rows import Row

__all__ = ["Breakage", "explain"]

_MAX_DIFFERENCES = 50


class Breakage(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event does not hold.

    Where the hash carried and the one computed differ the bytes were changed, or the hash, so neither of them is called
    the expected one. `next_prev` is what the event after says this one's hash is, None while that is not known.
    `earlier_hash` is that of the copy that this console received earlier, None when it has none, and `differences` what
    is another in it.
    """

    check: EventCheck
    next_prev: str | None = None
    earlier_hash: str | None = None
    differences: tuple[FieldPair, ...] = ()

    def as_text(self) -> str:
        """All of it in plain lines, for a ticket; safe to show."""
        found = self.check
        lines = [
            f"Event #{found.event_id}: {found.summary}",
            f"hash: {_mark(found.hash_fits)}",
            f"  computed {found.computed_hash or '(cannot be: the bytes are not in canonical form)'}",
            f"  carried  {_shown_hash(found.carried_hash)}",
            f"prev_hash: {_mark(found.link_holds)}",
            f"  expected {_shown_hash(found.expected_prev or f'(event #{found.event_id - 1} is not known)')}",
            f"  found    {_shown_hash(found.carried_prev)}",
        ]
        if self.next_prev is not None:
            lines += [
                f"event #{found.event_id + 1} links to {self._next()}",
                f"           {_shown_hash(self.next_prev)}",
            ]
        return "\n".join([*lines, *self._compared()])

    def _next(self) -> str:
        if self.next_prev == self.check.carried_hash:
            return "the hash carried:"
        return "the hash computed:" if self.next_prev == self.check.computed_hash else "neither of these:"

    def _compared(self) -> list[str]:
        if self.earlier_hash is None:
            return ["no earlier copy here to compare with"]
        if not self.differences:
            return ["the copy received earlier is the same in every field"]
        lines = [
            "differs from the copy received earlier, which has the hash",
            f"           {_shown_hash(self.earlier_hash)}",
        ]
        for each in self.differences:
            lines += [each.field, f"  earlier  {each.one}", f"  now      {each.other}"]
        return lines


def explain(before: Row | None, row: Row, after: Row | None, stored_earlier: Row | None) -> Breakage:
    """What is wrong with an event.

    `before` and `after` count only when they are its very neighbours. `stored_earlier` is another copy of the same
    event, as this console received it earlier.
    """
    check = check_served(row.raw, before)
    next_prev = after.prev_hash if after is not None and after.event_id == row.event_id + 1 else None
    if stored_earlier is None or stored_earlier.event_id != row.event_id:
        return Breakage(check=check, next_prev=next_prev)
    differences = (pair for pair in compare_events(stored_earlier.event, row.event) if pair.differs)
    return Breakage(
        check=check,
        next_prev=next_prev,
        earlier_hash=stored_earlier.hash,
        differences=tuple(islice(differences, _MAX_DIFFERENCES)),
    )


def _mark(fits: bool | None) -> str:
    return "(not checked)" if fits is None else "✓" if fits else "✗ differs"


def _shown_hash(text: str) -> str:
    return safe(text[:80])
