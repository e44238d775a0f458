"""What a value means, field by field. Every function raises FilterError that says how to write such a value."""

from __future__ import annotations

import re
from collections.abc import Iterable

from audit_stream.errors import KindError, TimestampError
from audit_stream.filters.errors import shown
from audit_stream.filters.globs import Glob, Substring
from audit_stream.filters.literals import CONSTANTS, number
from audit_stream.filters.syntax import Word
from audit_stream.filters.tree import OPERATORS, Comparison, Constant, IdRange, Number, Operator, PayloadValue, Present
from audit_stream.kinds import Severity
from audit_stream.timestamps import format_rfc3339_ms, parse_rfc3339_ms

__all__ = ["glob", "id_ranges", "instant_ms", "payload_value", "severities", "substring"]

_DURATION = re.compile(r"([0-9]+)([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_MAX_ID = 10**18 - 1  # whole decades below SQLite's 2**63 - 1, and more events than any daemon will see
_ID = re.compile(r"(>=|<=|>|<|=)?([0-9]{1,18})")
_ID_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")


def glob(word: Word) -> Glob:
    """A pattern for kinds, sources and payload strings."""
    if _operator(word):
        raise word.error("only numbers and severities compare: quote the value to mean these characters")
    head, *rest = _literals(word)
    if not rest:
        return Glob(literals=(head,))
    return Glob(literals=(head, *filter(None, rest[:-1]), rest[-1]))


def substring(word: Word) -> Substring:
    """A pattern for free text."""
    if not word.text:
        raise word.error("there is nothing to search for between these quotes")
    return Substring(literals=tuple(literal.casefold() for literal in _literals(word) if literal))


def payload_value(word: Word) -> PayloadValue:
    """What one value of a payload term accepts."""
    if (symbol := _operator(word)) is not None:
        return _comparison(word, symbol)
    bare = word.bare
    if bare is not None and bare in CONSTANTS:
        return Constant(value=CONSTANTS[bare])
    value = None if bare is None else number(bare)
    if bare is not None and value is not None:
        return Number(text=bare, value=value)
    pattern = glob(word)
    return Present() if pattern.literals == ("", "") else pattern


def severities(word: Word) -> frozenset[Severity]:
    """The severities that one value names, such as `warning` or `>=warning`."""
    symbol = _operator(word)
    try:
        bound = Severity.parse(word.text.removeprefix(symbol or ""))
    except KindError as error:
        raise word.error(f"{error}, or a comparison such as >=warning") from None
    return frozenset(level for level in Severity if OPERATORS[symbol or "="](level, bound))


def id_ranges(words: Iterable[Word]) -> tuple[IdRange, ...]:
    """The ranges that the values name, ascending; ranges that overlap or touch are made one."""
    merged: list[IdRange] = []
    for span in sorted(map(_id_range, words), key=lambda span: span.first):
        before = merged[-1] if merged else None
        if before is None or (before.last is not None and before.last + 1 < span.first):
            merged.append(span)
        else:
            ends = [end for end in (before.last, span.last) if end is not None]
            merged[-1] = IdRange(first=before.first, last=max(ends) if len(ends) == 2 else None)
    return tuple(merged)


def instant_ms(word: Word, *, now_ms: int) -> int:
    """Unix milliseconds of an instant, or of `now_ms` less a duration."""
    duration = _DURATION.fullmatch(word.text)
    try:
        if duration is None:
            at_ms = parse_rfc3339_ms(word.text)
        else:
            at_ms = now_ms - int(duration.group(1)) * _UNIT_MS[duration.group(2)]
        format_rfc3339_ms(at_ms)
    except TimestampError:
        raise word.error(
            f"{shown(word.text)} is no time: write a duration before now such as 90s, 15m, 2h or 7d, "
            "or an RFC 3339 instant such as 2026-05-15T03:14:15Z"
        ) from None
    except OverflowError:
        raise word.error(f"{shown(word.text)} lies outside the years 1 to 9999") from None
    return at_ms


def _operator(word: Word) -> Operator | None:
    """The comparison that the value starts with. Quoted, `>` is only a character."""
    first = word.pieces[0]
    if first.quoted:
        return None
    return next((symbol for symbol in OPERATORS if first.text.startswith(symbol)), None)


def _comparison(word: Word, symbol: Operator) -> Comparison:
    value = None if word.bare is None else number(word.bare.removeprefix(symbol))
    if value is None:
        raise word.error(
            f"{shown(word.text.removeprefix(symbol))} is no number to compare with: write one such as {symbol}2 or "
            f"{symbol}0.5, or quote the value to mean these characters"
        )
    return Comparison(operator=symbol, value=value)


def _id_range(word: Word) -> IdRange:
    text = word.bare or ""
    span = _between(text) or _compared(text)
    if span is None or span.first > _MAX_ID:
        raise word.error(
            f"{shown(word.text)} is no event id: write a whole number of at most 18 digits, a comparison such as >100, "
            "or a range such as 100..200"
        )
    if span.last is not None and span.first > span.last:
        raise word.error(f"this range is empty: write the smaller id first, {span.last}..{span.first}")
    return span


def _between(text: str) -> IdRange | None:
    match = _ID_RANGE.fullmatch(text)
    return None if match is None else IdRange(first=int(match.group(1)), last=int(match.group(2)))


def _compared(text: str) -> IdRange | None:
    match = _ID.fullmatch(text)
    if match is None:
        return None
    bound = int(match.group(2))
    match match.group(1):
        case ">":
            return IdRange(first=bound + 1, last=None)
        case ">=":
            return IdRange(first=bound, last=None)
        case "<":
            return IdRange(first=0, last=max(bound - 1, 0))
        case "<=":
            return IdRange(first=0, last=bound)
        case _:
            return IdRange(first=bound, last=bound)


def _literals(word: Word) -> list[str]:
    """The texts between the stars that are not quoted."""
    literals = [""]
    for piece in word.pieces:
        first, *rest = [piece.text] if piece.quoted else piece.text.split("*")
        literals[-1] += first
        literals += rest
    return literals
