"""One broken event explained: which hash or link does not fit, and which field differs where that can be told."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from audit_stream.canonical import hash_of
from audit_stream.chain import GENESIS_HASH
from audit_stream.display import safe
from audit_tui.model.rows import Row

__all__ = ["Breakage", "Difference", "explain"]

_FIELDS = ("event_id", "kind", "source", "timestamp", "prev_hash", "hash")
_MAX_DIFFERENCES = 50
_MAX_VALUE = 400
_ABSENT = object()


class Difference(msgspec.Struct, frozen=True):
    """A field that differs between two copies of an event; values as JSON, safe to show, "(absent)" for none."""

    field: str
    earlier: str
    now: str


class Breakage(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event does not hold. Hashes that are not known are None; all texts are safe to show.

    `computed_hash` is that of the bytes there are now, `carried_hash` the one that the event carries: where they differ
    the bytes were changed, or the hash, so neither of them is called the expected one. `expected_prev` is the hash of
    the event before, `found_prev` what this event says it is, `next_prev` what the event after says this one's is.
    `earlier_hash` is that of the
    copy that this console received earlier, and `differences` what is another in it; `has_earlier` tells "nothing
    differs" from "nothing to compare with".
    """

    event_id: int
    summary: str
    computed_hash: str | None
    carried_hash: str
    expected_prev: str | None
    found_prev: str
    next_prev: str | None = None
    has_earlier: bool = False
    earlier_hash: str | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def hash_fits(self) -> bool:
        """Whether the bytes have the hash that they were served with."""
        return self.computed_hash == self.carried_hash

    @property
    def prev_fits(self) -> bool | None:
        """Whether it links to the event before; None when that is not known."""
        return None if self.expected_prev is None else self.expected_prev == self.found_prev

    def as_text(self) -> str:
        """All of it in plain lines, for a ticket."""
        lines = [
            f"Event #{self.event_id}: {self.summary}",
            f"hash: {_mark(self.hash_fits)}",
            f"  computed {self.computed_hash or '(cannot be: the bytes are not in canonical form)'}",
            f"  carried  {self.carried_hash}",
            f"prev_hash: {_mark(self.prev_fits)}",
            f"  expected {self.expected_prev or f'(event #{self.event_id - 1} is not known)'}",
            f"  found    {self.found_prev}",
        ]
        if self.next_prev is not None:
            lines += [f"event #{self.event_id + 1} links to {self._next()}", f"           {self.next_prev}"]
        return "\n".join([*lines, *self._compared()])

    def _next(self) -> str:
        if self.next_prev == self.carried_hash:
            return "the hash carried:"
        return "the hash computed:" if self.next_prev == self.computed_hash else "neither of these:"

    def _compared(self) -> list[str]:
        if not self.has_earlier:
            return ["no earlier copy here to compare with"]
        if not self.differences:
            return ["the copy received earlier is the same in every field"]
        lines = ["differs from the copy received earlier, which has the hash", f"           {self.earlier_hash}"]
        for each in self.differences:
            lines += [f"{each.field}", f"  earlier  {each.earlier}", f"  now      {each.now}"]
        return lines


def explain(before: Row | None, row: Row, after: Row | None, stored_earlier: Row | None) -> Breakage:
    """What is wrong with an event.

    `before` and `after` count only when they are its very neighbours. `stored_earlier` is another copy of the same
    event, as this console received it earlier.
    """
    try:
        computed_hash: str | None = hash_of(row.canonical)
    except ValueError:
        computed_hash = None
    if before is not None and before.event_id == row.event_id - 1:
        expected_prev: str | None = before.hash
    else:
        expected_prev = GENESIS_HASH if row.event_id == 1 else None
    follows = after is not None and after.event_id == row.event_id + 1
    earlier = stored_earlier if stored_earlier is not None and stored_earlier.event_id == row.event_id else None
    carried_hash, found_prev = row.hash, row.prev_hash
    return Breakage(
        event_id=row.event_id,
        summary=_summary(computed_hash, carried_hash, expected_prev, found_prev),
        computed_hash=computed_hash,
        carried_hash=_shown_hash(carried_hash),
        expected_prev=None if expected_prev is None else _shown_hash(expected_prev),
        found_prev=_shown_hash(found_prev),
        next_prev=_shown_hash(after.prev_hash) if follows and after is not None else None,
        has_earlier=earlier is not None,
        earlier_hash=None if earlier is None else _shown_hash(earlier.hash),
        differences=() if earlier is None else _differences(earlier, row),
    )


def _summary(computed_hash: str | None, carried_hash: str, expected_prev: str | None, found_prev: str) -> str:
    problems = []
    if computed_hash is None:
        problems.append("its bytes are not in canonical form")
    elif computed_hash != carried_hash:
        problems.append("its bytes do not have the hash that it carries")
    if expected_prev is not None and expected_prev != found_prev:
        problems.append("it does not link to the event before")
    return " and ".join(problems) or "as received now it holds"


def _mark(fits: bool | None) -> str:
    return "(not checked)" if fits is None else "✓" if fits else "✗ differs"


def _shown_hash(text: str) -> str:
    return safe(text[:80])


def _differences(earlier: Row, now: Row) -> tuple[Difference, ...]:
    one, other = earlier.event, now.event
    found: list[Difference] = []
    for name in _FIELDS:
        _compare(name, getattr(one, name), getattr(other, name), found)
    _compare("payload", one.payload, other.payload, found)
    return tuple(found)


def _compare(path: str, earlier: Any, now: Any, found: list[Difference]) -> None:
    """Add the leaves that differ below `path`; the nesting was limited when the event was read."""
    if len(found) >= _MAX_DIFFERENCES:
        return
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in [*earlier, *(key for key in now if key not in earlier)]:
            _compare(f"{path}.{_shown_key(key)}", earlier.get(key, _ABSENT), now.get(key, _ABSENT), found)
    elif isinstance(earlier, list) and isinstance(now, list):
        for index in range(max(len(earlier), len(now))):
            _compare(f"{path}[{index}]", _item(earlier, index), _item(now, index), found)
    elif type(earlier) is not type(now) or earlier != now:
        found.append(Difference(path, _shown(earlier), _shown(now)))


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else _ABSENT


def _shown_key(key: str) -> str:
    return safe(key[:80])


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "(absent)"
    text = json.dumps(value, ensure_ascii=False)
    return safe(text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…")
