"""The SQL function by which a plan's `where` tests payloads and free text exactly.

SQLite's own JSON functions disagree with Python about integers beyond 64 bits, NUL characters and floats; so payloads
are decoded here, in the thread that runs the query.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec

from audit_stream.filters.content import Content
from audit_stream.filters.parser import parse
from audit_stream.filters.tree import PayloadHas, Term, TextContains

if TYPE_CHECKING:
    import sqlite3

__all__ = ["register"]


def register(connection: sqlite3.Connection) -> None:
    """Install `audit_match(filter, canonical)`, once for all plans that the connection will run.

    It tests only what a plan leaves to it: payload terms and free text. A row whose bytes are no event passes no
    filter; to report such a row is for the verification, and it must not keep readers from all others.
    """
    connection.create_function("audit_match", 2, _audit_match, deterministic=True)


class _Row(msgspec.Struct):
    """What canonical bytes must have for a filter to look at them."""

    kind: str
    source: str
    payload: dict[str, Any]


_decoder = msgspec.json.Decoder(_Row)


def _audit_match(text: str, canonical: object) -> bool:
    if not isinstance(canonical, bytes):
        return False
    try:
        row = _decoder.decode(canonical)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    content = Content(kind=row.kind, source=row.source, payload=row.payload)
    return all(content.has(test) is not negated for test, negated in _content_tests(text))


@functools.lru_cache(maxsize=64)
def _content_tests(text: str) -> tuple[tuple[PayloadHas | TextContains, bool], ...]:
    """The tests of a filter, parsed once a query instead of once a row."""
    return tuple(map(_content_test, parse(text, now_ms=0).terms))


def _content_test(term: Term) -> tuple[PayloadHas | TextContains, bool]:
    assert isinstance(term.test, PayloadHas | TextContains), "a plan answers every other term itself"
    return term.test, term.negated
