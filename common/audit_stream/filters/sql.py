"""SQL conditions over the columns event_id, time_ms and canonical of a store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii
from typing import NamedTuple, TypeAlias

from audit_stream.filters.globs import Glob, Substring
from audit_stream.filters.literals import constant_text
from audit_stream.filters.tree import (
    Constant,
    IdIn,
    IdRange,
    PayloadHas,
    PayloadValue,
    Since,
    Term,
    TextContains,
    Until,
)

__all__ = ["Condition", "Parameter", "conjunction", "envelope_condition", "prefilters"]

Parameter: TypeAlias = int | str | bytes

MAX_PREFILTERS = 4
"""Of one filter: beyond it they cost more than they spare, and SQLite limits how deep an expression nests."""

# SQLite searches naively: this times the length of a row is the most work that a prefilter can be made to do.
_MAX_FRAGMENT = 64

# What every character outside printable ASCII looks like in canonical bytes.
_ESCAPE = b"\\u"


class Condition(NamedTuple):
    """A boolean expression, safe to join with AND, and what its question marks stand for."""

    sql: str
    params: tuple[Parameter, ...]


def conjunction(conditions: Iterable[Condition]) -> Condition:
    """All of the conditions; empty SQL for none."""
    return _joined(" AND ", conditions)


def envelope_condition(term: Term) -> Condition:
    """Exactly a term about the id or the time; never NULL, whatever the row."""
    assert isinstance(term.test, IdIn | Since | Until)
    if isinstance(term.test, IdIn):
        condition = _any_of(map(_in_range, term.test.ranges))
    else:
        symbol = ">=" if isinstance(term.test, Since) else "<="
        condition = Condition(f"ifnull(time_ms {symbol} ?, 0)", (term.test.at_ms,))
    return Condition(f"NOT {condition.sql}", condition.params) if term.negated else condition


def prefilters(terms: Iterable[Term]) -> list[Condition]:
    """Cheap conditions that hold for every row which passes these terms about the content, and for few others.

    They run inside SQLite, without Python and its lock. They rest on the canonical form: ASCII, no spaces between
    tokens, each string escaped character by character, so that a part of a string is written as a part of its literal.
    A negated term has none, because the opposite of a condition that lets too much through lets too little through.
    """
    found: list[Condition] = []
    for term in terms:
        if not term.negated and isinstance(term.test, PayloadHas):
            found += _payload_prefilters(term.test)
        elif not term.negated and isinstance(term.test, TextContains):
            found += _text_prefilters(term.test)
    return list(dict.fromkeys(found))[:MAX_PREFILTERS]


def _payload_prefilters(test: PayloadHas) -> Iterator[Condition]:
    fragments = [_value_fragment(value) for value in test.values]
    if all(fragments):
        yield _any_of(_contains(fragment) for fragment in fragments)
    for key in test.path:
        yield _contains(f"{encode_basestring_ascii(key)}:")


def _value_fragment(value: PayloadValue) -> str:
    """What the canonical bytes contain wherever this value stands; "" when nothing is certain, as with numbers."""
    match value:
        case Constant():
            return constant_text(value.value)
        case Glob():
            written = [encode_basestring_ascii(literal)[1:-1] for literal in value.literals]
            written[0] = '"' + written[0]
            written[-1] += '"'
            longest = max(written, key=len)
            return longest if longest != '"' else ""
        case _:
            return ""


def _text_prefilters(test: TextContains) -> Iterator[Condition]:
    """ASCII, in which folding case is lowering it, or a row with other characters, such as K (Kelvin) which folds to k.

    Free text that is not ASCII needs such a row, too.
    """
    if not all(substring.literals for substring in test.substrings):
        return
    ascii_only = (substring for substring in test.substrings if all(map(str.isascii, substring.literals)))
    yield _any_of([*map(_contains_folded, ascii_only), Condition("instr(canonical, ?) > 0", (_ESCAPE,))])


def _contains(fragment: str) -> Condition:
    """Bytes in bytes: SQLite finds nothing when one is text and the other a BLOB."""
    return Condition("instr(canonical, ?) > 0", (fragment[:_MAX_FRAGMENT].encode("ascii"),))


def _contains_folded(substring: Substring) -> Condition:
    """By LIKE, which ignores the case of ASCII letters; half the time of lowering the row first.

    The cast, because SQLite can be built so that LIKE finds nothing in a BLOB. It rests on `PRAGMA case_sensitive_like`
    being off, as it is unless someone sets it.
    """
    fragment = encode_basestring_ascii(max(substring.literals, key=len))[1:-1][:_MAX_FRAGMENT]
    pattern = re.sub(r"([%_^])", r"^\1", fragment)
    return Condition("CAST(canonical AS TEXT) LIKE ? ESCAPE '^'", (f"%{pattern}%",))


def _in_range(span: IdRange) -> Condition:
    if span.last is None:
        return Condition("event_id >= ?", (span.first,))
    return Condition("event_id BETWEEN ? AND ?", (span.first, span.last))


def _any_of(conditions: Iterable[Condition]) -> Condition:
    joined = _joined(" OR ", conditions)
    return Condition(f"({joined.sql})", joined.params)


def _joined(operator: str, conditions: Iterable[Condition]) -> Condition:
    found = list(conditions)
    return Condition(
        operator.join(condition.sql for condition in found),
        tuple(param for condition in found for param in condition.params),
    )
