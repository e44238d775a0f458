"""What the word under the cursor of a filter may become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["MAX_OPTIONS", "Completions", "complete", "payload_paths", "taken"]

MAX_OPTIONS = 12

_FIELDS = ("kind:", "source:", "severity:", "since:", "until:", "id:", "payload.")
_DURATIONS = ("5m", "15m", "1h", "6h", "24h", "7d")
_OPERATORS = (">=", "<=", ">", "<", "=")
_MAX_PATH_KEYS = 4
_MAX_PATH_LENGTH = 64
"""Longer ones fill the list with what nobody types; they can still be written."""


class Completions(msgspec.Struct, frozen=True, kw_only=True):
    """Each of `options` may stand for the text from `start` to `end`, best first."""

    start: int
    end: int
    options: tuple[str, ...] = ()


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """The stretch that the cursor is in. `field` is None while the term has no colon before it."""

    start: int
    end: int
    field: str | None


def complete(
    text: str,
    cursor: int,
    *,
    kinds: Sequence[str],
    sources: Sequence[str],
    fields: Sequence[str],
    severities: Sequence[str],
) -> Completions:
    """The fields or values that the word at the cursor begins, then those that contain it; none that it already is.

    `kinds` and `sources` are names, the likeliest first; `fields` are payload paths as the language writes them,
    without `payload.`.
    """
    place = _place(text, cursor)
    typed = text[place.start : cursor]
    if place.field is None:
        quoted = typed.startswith('"')  # no field then, whatever stands in it
        found = [] if quoted else [*_FIELDS, *(f"payload.{path}:" for path in fields)]
    elif place.field in ("kind", "source"):
        from audit_stream.filters.literals import pattern_text

        found = [pattern_text((name,)) for name in (kinds if place.field == "kind" else sources)]
    elif place.field == "severity":
        operator = next((symbol for symbol in _OPERATORS if typed.startswith(symbol)), "")
        found = [f"{operator}{label}" for label in severities]
    else:
        found = list(_DURATIONS) if place.field in ("since", "until") else []
    whole = text[place.start : place.end]
    options = tuple(option for option in _ranked(found, typed) if option != whole)
    return Completions(start=place.start, end=place.end, options=options[:MAX_OPTIONS])


def taken(text: str, completions: Completions, option: str) -> tuple[str, int]:
    """The text with the option in place, and where the cursor then is."""
    return (
        f"{text[: completions.start]}{option}{text[completions.end :]}",
        completions.start + len(option),
    )


def payload_paths(payload: Mapping[str, Any]) -> Iterator[str]:
    """The paths to a payload's values as the language writes them: four keys deep, arrays as their first element."""
    from audit_stream.filters.literals import segment_text

    stack: list[tuple[str, int, object]] = [("", 0, payload)]
    while stack:
        path, depth, node = stack.pop()
        while isinstance(node, list) and node:
            node = node[0]
        if isinstance(node, Mapping) and node and depth < _MAX_PATH_KEYS:
            below = [
                (f"{path}.{segment_text(key)}" if path else segment_text(key), value) for key, value in node.items()
            ]
            stack += [(name, depth + 1, value) for name, value in reversed(below) if len(name) <= _MAX_PATH_LENGTH]
        elif path:
            yield path


def _ranked(options: Iterable[str], typed: str) -> list[str]:
    """Those that begin with what was typed, then those that contain it; quotes and case do not count."""
    wanted = _plain(typed)
    begin, contain = [], []
    for option in dict.fromkeys(options):
        plain = _plain(option)
        if plain.startswith(wanted):
            begin.append(option)
        elif wanted in plain:
            contain.append(option)
    return begin + contain


def _plain(text: str) -> str:
    return text.replace('"', "").casefold()


def _place(text: str, cursor: int) -> _Place:
    """Where the stretch around the cursor begins and ends, by the quotes, spaces, commas and colons outside quotes."""
    start, term_start, end, field = 0, 0, len(text), None
    quoted = escaped = False
    for at, char in enumerate(text):
        if not quoted and (char.isspace() or (char == "," and field is not None) or (char == ":" and field is None)):
            if at >= cursor:
                end = at + (char == ":")  # the options for a field's name bring their own colon
                break
            start = at + 1
            if char == ":":
                field = text[term_start:at]
            elif char != ",":
                term_start, field = start, None
        elif char == "-" and at == term_start and at < cursor:
            start = term_start = at + 1
        if char == '"' and not escaped:
            quoted = not quoted
        escaped = quoted and char == "\\" and not escaped
    return _Place(start=start, end=end, field=field)
