"""What a filter says: one small tree of immutable values.

A `Filter` is a conjunction of terms; a `Term` is one test, maybe negated; a test speaks of one field. Trees are
hashable, and `str()` gives the canonical text, which parses to an equal tree.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from audit_stream.filters.globs import Glob, Substring
from audit_stream.filters.literals import constant_text, pattern_text, segment_text, string_text
from audit_stream.kinds import Severity
from audit_stream.timestamps import format_rfc3339_ms

__all__ = [
    "OPERATORS",
    "Comparison",
    "Constant",
    "Filter",
    "IdIn",
    "IdRange",
    "KindIs",
    "Number",
    "Operator",
    "PayloadHas",
    "PayloadValue",
    "Present",
    "SeverityIs",
    "Since",
    "SourceIs",
    "Term",
    "Test",
    "TextContains",
    "Until",
]

Operator: TypeAlias = Literal[">=", "<=", ">", "<", "="]

OPERATORS: dict[Operator, Callable[[int | float, int | float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
"""By what the user writes; the longer ones first, so that `>=` is not read as `>`."""


class KindIs(msgspec.Struct, frozen=True, kw_only=True):
    """The kind has one of these forms."""

    patterns: tuple[Glob, ...]

    def __str__(self) -> str:
        return "kind:" + ",".join(pattern_text(pattern.literals) for pattern in self.patterns)


class SourceIs(msgspec.Struct, frozen=True, kw_only=True):
    """The source has one of these forms."""

    patterns: tuple[Glob, ...]

    def __str__(self) -> str:
        return "source:" + ",".join(pattern_text(pattern.literals) for pattern in self.patterns)


class SeverityIs(msgspec.Struct, frozen=True, kw_only=True):
    """The kind's severity is one of `levels`, in ascending order, by the registry that the filter was parsed with.

    Resolved to names, so that matching needs no registry: `kinds` are the registered kinds that match or, when INFO is
    among the levels, those that do not, because a kind that is not registered counts as INFO.
    """

    levels: tuple[Severity, ...]
    kinds: frozenset[str]

    @property
    def lists_exceptions(self) -> bool:
        """Whether `kinds` are those that do not match."""
        return Severity.INFO in self.levels

    def __str__(self) -> str:
        return "severity:" + (",".join(level.label for level in self.levels) or "<info")


class IdRange(msgspec.Struct, frozen=True, kw_only=True):
    """Event ids from `first` to `last`, both included; `last` None leaves it open. Ids start at 1: first 0 is open."""

    first: int
    last: int | None

    def __str__(self) -> str:
        if self.last is None:
            return f">={self.first}"
        if self.first == self.last:
            return str(self.first)
        return f"<={self.last}" if self.first == 0 else f"{self.first}..{self.last}"


class IdIn(msgspec.Struct, frozen=True, kw_only=True):
    """The event id lies in one of these ranges, which ascend and do not touch each other."""

    ranges: tuple[IdRange, ...]

    def __str__(self) -> str:
        return "id:" + ",".join(map(str, self.ranges))


class Since(msgspec.Struct, frozen=True, kw_only=True):
    """The timestamp is an instant at or after `at_ms` (Unix milliseconds)."""

    at_ms: int

    def __str__(self) -> str:
        return f"since:{_instant(self.at_ms)}"


class Until(msgspec.Struct, frozen=True, kw_only=True):
    """The timestamp is an instant at or before `at_ms` (Unix milliseconds)."""

    at_ms: int

    def __str__(self) -> str:
        return f"until:{_instant(self.at_ms)}"


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """Any value at all, null, objects and arrays included."""

    def __str__(self) -> str:
        return "*"


class Constant(msgspec.Struct, frozen=True, kw_only=True):
    """JSON's true, false or null."""

    value: bool | None

    def __str__(self) -> str:
        return constant_text(self.value)


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON number equal to `value`, or a string that reads `text`."""

    text: str
    value: int | float

    def __str__(self) -> str:
        return self.text


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON number on that side of `value`; never a string or a boolean."""

    operator: Operator
    value: int | float

    def __str__(self) -> str:
        return f"{self.operator}{self.value!r}"


PayloadValue: TypeAlias = Present | Constant | Number | Comparison | Glob


class PayloadHas(msgspec.Struct, frozen=True, kw_only=True):
    """The payload has one of these values at the path. A Glob stands for strings of that form."""

    path: tuple[str, ...]
    values: tuple[PayloadValue, ...]

    def __str__(self) -> str:
        values = ",".join(
            string_text(value.literals) if isinstance(value, Glob) else str(value) for value in self.values
        )
        return ".".join(["payload", *map(segment_text, self.path)]) + ":" + values


class TextContains(msgspec.Struct, frozen=True, kw_only=True):
    """The kind, the source, or a key or scalar anywhere in the payload contains one of these."""

    substrings: tuple[Substring, ...]

    def __str__(self) -> str:
        return ",".join(
            pattern_text(substring.literals) if substring.literals else "*" for substring in self.substrings
        )


Test: TypeAlias = IdIn | KindIs | SourceIs | SeverityIs | Since | Until | PayloadHas | TextContains


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One test, or its exact opposite."""

    test: Test
    negated: bool

    def __str__(self) -> str:
        return f"-{self.test}" if self.negated else str(self.test)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Events that pass every term; without terms, all events. Make one with `parse`.

    The terms stand in canonical order, the cheap ones first, and no term stands there twice.
    """

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


def _instant(time_ms: int) -> str:
    """With `Z`, because the `+` of `+00:00` means a space in a query string that was typed by hand."""
    return format_rfc3339_ms(time_ms).replace("+00:00", "Z")
