"""The bytes that audit-stream 0.1.0 hashed, found again from what it serves.

It hashed what Python's `json.dumps` gives, with `NaN`, `Infinity` and `-Infinity`, but serves `null` for these; a key
that holds half a character (a lone surrogate) it serves with three U+FFFD in its place. An event's hash tells which of
the possible texts was hashed: a text that fits is the one, as long as SHA-256 holds. Everything else it serves as
it was hashed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from itertools import combinations, islice, product
from typing import Any, NamedTuple

from audit_stream.canonical import hash_of

__all__ = ["MAX_TRIES", "Change", "Restored", "Restorer", "hashed_form"]

MAX_TRIES = 1 << 16
"""Of an event: all that eight nulls can have been, in half a second."""
_MAX_HASHED_BYTES = 1 << 28
"""For a large event fewer tries, to the same effect."""
_UNIFORM_NULLS = 12

_NULL = b"null"
_CONSTANTS = (b"NaN", b"Infinity", b"-Infinity")
_LOST = "\ufffd\ufffd\ufffd"
_HALVES = [b"\\u%04x" % code for code in range(0xD800, 0xE000)]

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Change(NamedTuple):
    """What 0.1.0 served otherwise: where in the event, what was hashed, and what it served instead."""

    path: str
    hashed: str
    served: str


class Restored(NamedTuple):
    """The bytes that were hashed, and what of them 0.1.0 served otherwise: mostly nothing."""

    canonical: bytes
    changes: tuple[Change, ...]


class Restorer:
    """Restores the events of one chain. What was found in one is tried first in the next of the same shape."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], tuple[bytes, ...]] = {}

    def restore(self, fields: dict[str, Any]) -> Restored | None:
        """The bytes of which `fields["hash"]` is the hash; None when none of up to MAX_TRIES texts is.

        `fields` are those of an event, as Python's `json` reads them. Raises RecursionError for what nests too deep.
        """
        canonical = hashed_form(fields)
        if hash_of(canonical) == fields["hash"]:
            return Restored(canonical, ())
        tries = min(MAX_TRIES, max(_MAX_HASHED_BYTES // len(canonical), 1))
        keys = list(_keys_with_halves(fields["payload"], ()))
        shapes = [_Shape(fields, None), *(_Shape(fields, key) for key in keys if len(keys) == 1)]
        for shape in shapes:
            for values in islice(shape.candidates(self._found.get(shape.paths)), tries):
                canonical = shape.filled(values)
                tries -= 1
                if hash_of(canonical) == fields["hash"]:
                    self._found[shape.paths] = values
                    return Restored(canonical, shape.changes(values))
        return None

    def doubt(self, fields: dict[str, Any]) -> str:
        """What may be behind an event that cannot be restored, as the end of a sentence."""
        nulls = len(_Shape(fields, None).paths)
        halves = len(list(_keys_with_halves(fields["payload"], ())))
        may_be = "it was changed, or a tool has rewritten its numbers on the way"
        if halves > 1 or (halves and nulls):
            return f"its keys may hold halves of characters, which 0.1.0 serves as U+FFFD, or {may_be}"
        if 4**nulls > MAX_TRIES:
            return (
                f"some of its {nulls} nulls may be NaN or infinities, which 0.1.0 serves as null "
                f"(there are more combinations than are tried), or {may_be}"
            )
        if nulls:
            return f"no NaN or infinity in place of its null{'s' * (nulls > 1)} makes it fit, so {may_be}"
        return may_be


def hashed_form(fields: dict[str, Any]) -> bytes:
    """What 0.1.0 hashed of such fields: the canonical form, in which NaN and infinities may stand."""
    return _encode({key: value for key, value in fields.items() if key != "hash"}).encode("ascii")


_Way = tuple[str | int, ...]
"""The keys and indexes that lead to a value; of a key, it is the last."""


class _Shape:
    """An event's canonical text around the nulls of its payload and, perhaps, one key's half of a character.

    `paths` names these places in their order. Which half it is does not change the order of the keys: no other key
    that came as text has one.
    """

    def __init__(self, fields: dict[str, Any], half: _Way | None) -> None:
        self._mark = secrets.token_hex(16)  # which no event can hold, because nobody could know it
        self._half: int | None = None
        paths: list[str] = []
        payload = fields["payload"]
        if half is not None:
            payload = _renamed(payload, half, str(half[-1]).replace(_LOST, f"\ud800{self._mark}"))
        text = hashed_form({**fields, "payload": self._marked(payload, "payload", paths)})
        marks = rf'"{self._mark}"|\\ud800{self._mark}'
        self._pieces = re.split(marks.encode("ascii"), text)
        self.paths = tuple(paths)

    def candidates(self, before: tuple[bytes, ...] | None) -> Iterator[tuple[bytes, ...]]:
        """What may stand in the places, the likely first: what stood there `before`. Some come twice."""
        if before is not None:
            yield before
        if self._half is None:
            yield from _assignments(len(self.paths))
            return
        for values in _assignments(len(self.paths) - 1):
            for half in _HALVES:
                yield (*values[: self._half], half, *values[self._half :])

    def filled(self, values: tuple[bytes, ...]) -> bytes:
        """The text with these values in its places."""
        text = [b""] * (len(self._pieces) + len(values))
        text[::2], text[1::2] = self._pieces, values
        return b"".join(text)

    def changes(self, values: tuple[bytes, ...]) -> tuple[Change, ...]:
        """What of these values 0.1.0 served otherwise."""
        return tuple(
            Change(path, value.decode("ascii"), "U+FFFD" if index == self._half else "null")
            for index, (path, value) in enumerate(zip(self.paths, values, strict=True))
            if value != _NULL
        )

    def _marked(self, value: Any, path: str, paths: list[str]) -> Any:
        """The value with a mark for each null; `paths` gets all places in the order of the canonical form."""
        match value:
            case None:
                paths.append(path)
                return self._mark
            case dict():
                marked = {}
                for key in sorted(value):
                    name = f"{path}.{key}"
                    if self._mark in key:
                        self._half = len(paths)
                        name = name.replace(f"\ud800{self._mark}", _LOST)
                        paths.append(name)
                    marked[key] = self._marked(value[key], name, paths)
                return marked
            case list():
                return [self._marked(item, f"{path}[{index}]", paths) for index, item in enumerate(value)]
        return value


def _assignments(nulls: int) -> Iterator[tuple[bytes, ...]]:
    """What so many nulls may have been, the likely first: none, one and the same in all or some, anything in few."""
    yield (_NULL,) * nulls
    for value in _CONSTANTS:
        yield (value,) * nulls
    if nulls <= _UNIFORM_NULLS:
        for value in _CONSTANTS:
            yield from product((_NULL, value), repeat=nulls)
    for count in range(1, nulls + 1):
        for places in combinations(range(nulls), count):
            for values in product(_CONSTANTS, repeat=count):
                filled = [_NULL] * nulls
                for place, value in zip(places, values, strict=True):
                    filled[place] = value
                yield tuple(filled)


def _keys_with_halves(value: Any, parents: _Way) -> Iterator[_Way]:
    """The ways to keys in which halves of characters may have stood; to one in which two may, twice."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from [(*parents, key)] * key.count(_LOST)
            yield from _keys_with_halves(child, (*parents, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _keys_with_halves(child, (*parents, index))


def _renamed(value: Any, way: _Way, name: str) -> Any:
    """A copy in which the key at the end of the way has another name."""
    step, *rest = way
    if isinstance(value, list):
        return [_renamed(child, tuple(rest), name) if index == step else child for index, child in enumerate(value)]
    if rest:
        return {key: _renamed(child, tuple(rest), name) if key == step else child for key, child in value.items()}
    return {name if key == step else key: child for key, child in value.items()}
