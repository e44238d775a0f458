"""From text to tree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from audit_stream.filters.errors import FilterError, shown
from audit_stream.filters.syntax import SyntaxTerm, Word, read
from audit_stream.filters.tree import (
    Filter,
    IdIn,
    KindIs,
    PayloadHas,
    SeverityIs,
    Since,
    SourceIs,
    Term,
    Test,
    TextContains,
    Until,
)
from audit_stream.filters.values import glob, id_ranges, instant_ms, payload_value, severities, substring
from audit_stream.kinds import DEFAULT_KINDS, KindRegistry

__all__ = ["MAX_PATH_KEYS", "MAX_TEXT_LENGTH", "MAX_VALUES", "parse"]

MAX_TEXT_LENGTH = 4_096
"""In characters: more than anyone types, and it fits a request line when percent-encoded ASCII."""

MAX_VALUES = 100
"""In one filter: bounds the work for one event of 64 KiB, and keeps SQL under SQLite's expression depth of 1,000."""

MAX_PATH_KEYS = 128
"""As deep as an event's payload may nest."""

_FIELDS = ("kind", "source", "severity", "id", "since", "until", "payload")

_COST = (IdIn, KindIs, SourceIs, SeverityIs, Since, Until, PayloadHas, TextContains)
"""The order of terms in a filter: what decides without a look at the payload comes first."""

_T = TypeVar("_T")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_PATH = re.compile(r"[\w.-]{1,64}")  # short, and safe to show on a terminal


def parse(text: str, *, now_ms: int, kinds: KindRegistry = DEFAULT_KINDS) -> Filter:
    """The filter that a text means; blank text means every event.

    `now_ms` (Unix milliseconds) is what durations count back from, and `kinds` what severities come from: both are
    resolved here, so that a filter means the same whenever and wherever it is applied. Raises FilterError.
    """
    _check_text(text)
    if not text.strip():
        return Filter()
    syntax_terms = read(text)
    _check_count(syntax_terms)
    terms = sorted((_term(term, now_ms, kinds) for term in syntax_terms), key=lambda term: _COST.index(type(term.test)))
    parsed = Filter(terms=tuple(dict.fromkeys(terms)))
    # Casefolding and quoting can make the canonical text longer than what was typed; it must stay readable itself.
    if len(str(parsed)) > MAX_TEXT_LENGTH:
        raise _too_long(text, "written out in full, the filter")
    return parsed


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT_LENGTH:
        raise _too_long(text, "the filter")
    if (surrogate := _SURROGATE.search(text)) is not None:
        raise FilterError(
            "this is half of a character: send the filter as valid UTF-8", position=surrogate.start(), length=1
        )


def _too_long(text: str, what: str) -> FilterError:
    position = min(MAX_TEXT_LENGTH, len(text))
    return FilterError(
        f"{what} has more than {MAX_TEXT_LENGTH} characters: use globs, or several filters",
        position=position,
        length=len(text) - position,
    )


def _check_count(terms: list[SyntaxTerm]) -> None:
    values = [value for term in terms for value in term.values]
    if len(values) > MAX_VALUES:
        raise values[MAX_VALUES].error(f"a filter may have {MAX_VALUES} values: use globs, ranges or several filters")


def _term(term: SyntaxTerm, now_ms: int, kinds: KindRegistry) -> Term:
    _check_single_not(term)
    if term.name is None:
        return Term(test=TextContains(substrings=_distinct(map(substring, term.values))), negated=term.negated)
    field, path = _field(term.name)
    match field:
        case "payload":
            test: Test = PayloadHas(path=path, values=_distinct(payload_value(word) for word in term.values))
        case "kind":
            test = KindIs(patterns=_distinct(map(glob, term.values)))
        case "source":
            test = SourceIs(patterns=_distinct(map(glob, term.values)))
        case "severity":
            test = _severity(term.values, kinds)
        case "id":
            test = IdIn(ranges=id_ranges(term.values))
        case "since":
            test = Since(at_ms=min(instant_ms(word, now_ms=now_ms) for word in term.values))
        case _:
            test = Until(at_ms=max(instant_ms(word, now_ms=now_ms) for word in term.values))
    return Term(test=test, negated=term.negated)


def _check_single_not(term: SyntaxTerm) -> None:
    first = term.name or term.values[0]
    if term.negated and not first.pieces[0].quoted and first.text.startswith("-"):
        raise FilterError('one "-" negates a term: quote the other to search for it', position=first.position, length=1)


class _Key(NamedTuple):
    """One key of a dotted name; `quoted` when any part of it is, which makes an empty key deliberate."""

    text: str
    quoted: bool


def _field(name: Word) -> tuple[str, tuple[str, ...]]:
    """The field that a name means and, for a payload, the path behind it."""
    first, *rest = _keys(name)
    if first.quoted or first.text not in _FIELDS or (rest and first.text != "payload"):
        raise name.error(_unknown_field(name, first.text))
    if first.text != "payload":
        return first.text, ()
    if not rest:
        raise name.error("say where in the payload: payload.<path>:value; to search all of it, write the text alone")
    if len(rest) > MAX_PATH_KEYS:
        raise name.error(f"this path nests too deep: a payload has at most {MAX_PATH_KEYS} levels")
    if any(not key.text and not key.quoted for key in rest):
        raise name.error('a key of this path is empty: write one dot between two keys, or "" for the empty key')
    if any(not piece.quoted and "*" in piece.text for piece in name.pieces):
        raise name.error('keys have no globs: quote a key that contains a star, such as payload."a*b"')
    return "payload", tuple(key.text for key in rest)


def _keys(name: Word) -> list[_Key]:
    """A dotted name split at the dots that are not quoted."""
    keys = [_Key("", False)]
    for piece in name.pieces:
        first, *rest = [piece.text] if piece.quoted else piece.text.split(".")
        keys[-1] = _Key(keys[-1].text + first, keys[-1].quoted or piece.quoted)
        keys += [_Key(key, False) for key in rest]
    return keys


def _unknown_field(name: Word, head: str) -> str:
    near = difflib.get_close_matches(head, _FIELDS, n=1)
    path = name.text if _PLAIN_PATH.fullmatch(name.text) else "<path>"
    advice = f"did you mean {near[0]}?" if near else f"a key of the payload is written payload.{path}:value."
    return (
        f"{shown(name.text)} is no field: {advice} The fields are {', '.join(_FIELDS[:-1])} and payload.<path>; "
        "quote text that contains a colon"
    )


def _severity(values: Iterable[Word], kinds: KindRegistry) -> SeverityIs:
    levels = tuple(sorted(frozenset().union(*map(severities, values))))
    test = SeverityIs(levels=levels, kinds=frozenset())
    listed = frozenset(kind.name for kind in kinds if (kind.severity in levels) is not test.lists_exceptions)
    return SeverityIs(levels=levels, kinds=listed)


def _distinct(values: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(values))
