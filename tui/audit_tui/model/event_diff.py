"""Two events compared, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from audit_stream.display import safe
from audit_stream.event import Event

__all__ = ["FieldPair", "compare_events"]

_MAX_VALUE = 400
_MAX_KEY = 80
_ABSENT = object()


class FieldPair(msgspec.Struct, frozen=True):
    """A field of two events: values as JSON, cut and safe to show; "(absent)" where there is none."""

    field: str
    one: str
    other: str
    differs: bool = True


def compare_events(one: Event | None, other: Event | None) -> Iterator[FieldPair]:
    """Every field, down to the leaves of the payload; the hashes last, because they differ whenever anything does.

    A list is one field while it is the same in both. None is an event that is not there.
    """
    for name in ("event_id", "timestamp", "kind", "source", "payload", "prev_hash", "hash"):
        yield from _pairs(name, getattr(one, name, _ABSENT), getattr(other, name, _ABSENT))


def _pairs(path: str, one: Any, other: Any) -> Iterator[FieldPair]:
    """The leaves below `path`; how deep an event nests was limited when it was read."""
    both = [{} if value is _ABSENT and path == "payload" else value for value in (one, other)]  # of an absent event
    if any(both) and all(isinstance(value, dict) for value in both):
        for key in both[0] | both[1]:
            yield from _pairs(f"{path}.{safe(key[:_MAX_KEY])}", *(value.get(key, _ABSENT) for value in both))
        return
    texts = [_json(one), _json(other)]
    if texts[0] != texts[1] and isinstance(one, list) and isinstance(other, list):
        for index in range(max(len(one), len(other))):
            yield from _pairs(
                f"{path}[{index}]", *(items[index] if index < len(items) else _ABSENT for items in (one, other))
            )
    else:
        yield FieldPair(path[:_MAX_VALUE], _cut(texts[0]), _cut(texts[1]), texts[0] != texts[1])


def _json(value: Any) -> str:
    return "(absent)" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    shown = safe(text[: _MAX_VALUE + 1])
    return shown if len(shown) <= _MAX_VALUE else f"{shown[: _MAX_VALUE - 1]}…"
