"""The SQL functions by which a plan tests payloads, free text and patterns of sources exactly.

SQLite's own JSON functions disagree with Python about integers beyond 64 bits, NUL characters and floats; so payloads
are decoded here, in the thread that runs the query.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from audit_stream.filters.content import Content
from audit_stream.filters.matching import series_holds
from audit_stream.filters.parser import parse
from audit_stream.filters.tree import PayloadHas, SourceIs, Term, TextContains
from audit_stream.numbers import read_float

if TYPE_CHECKING:
    import sqlite3

__all__ = ["register"]


def register(connection: sqlite3.Connection, is_over: Callable[[], bool] = lambda: False) -> None:
    """Install `audit_match(filter, canonical)` and `audit_source(filter, source)`, once for all plans to come.

    `audit_match` tests only what a plan leaves to it: payload terms and free text. A row whose bytes are no event
    passes no filter; to report such a row is for the verification, and it must not keep readers from all others.

    `is_over` is asked before each row is tested, which may take long: True ends the statement as interrupted. A
    progress handler is asked after so many steps of SQLite's, however long one takes.
    """

    def audit_match(text: str, canonical: object) -> bool:
        if is_over():
            connection.interrupt()
            return False
        return _audit_match(text, canonical)

    connection.create_function("audit_match", 2, audit_match, deterministic=True)
    connection.create_function("audit_source", 2, _audit_source, deterministic=True)


class _Row(msgspec.Struct):
    """What canonical bytes must have for a filter to look at them."""

    kind: str
    source: str
    payload: dict[str, Any]


_decoder = msgspec.json.Decoder(_Row, float_hook=read_float)


def _audit_match(text: str, canonical: object) -> bool:
    if not isinstance(canonical, bytes):
        return False
    try:
        row = _decoder.decode(canonical)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    content = Content(kind=row.kind, source=row.source, payload=row.payload)
    return all(content.has(test) is not negated for test, negated in _content_tests(text))


def _audit_source(text: str, source: object) -> bool:
    terms = ((term.test, term.negated) for term in _terms(text))
    if not isinstance(source, str):  # of a table that somebody else made
        return False
    return all(isinstance(test, SourceIs) and series_holds(test, "", source) is not negated for test, negated in terms)


@functools.lru_cache(maxsize=64)
def _terms(text: str) -> tuple[Term, ...]:
    return parse(text, now_ms=0).terms


@functools.lru_cache(maxsize=64)
def _content_tests(text: str) -> tuple[tuple[PayloadHas | TextContains, bool], ...]:
    """The tests of a filter, parsed once a query instead of once a row."""
    return tuple(map(_content_test, _terms(text)))


def _content_test(term: Term) -> tuple[PayloadHas | TextContains, bool]:
    assert isinstance(term.test, PayloadHas | TextContains), "a plan answers every other term itself"
    return term.test, term.negated
