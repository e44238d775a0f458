"""What a store needs to know to answer a filter without reading every event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from audit_stream.filters.matching import SeriesTest, series_holds
from audit_stream.filters.sql import Condition, Parameter, conjunction, envelope_condition, prefilters
from audit_stream.filters.tree import (
    Filter,
    IdIn,
    KindIs,
    PayloadHas,
    SeverityIs,
    Since,
    SourceIs,
    Term,
    TextContains,
    Until,
)

__all__ = ["Plan", "plan"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A filter in parts.

    An event passes the filter exactly if all of these hold for its row:

    - `kind_matches(kind)`, and the source is one of `sources` unless that is None;
    - `source_matches(source)`, or in SQL `audit_source(source_text, source)`, unless `source_text` is "";
    - `since_ms <= time_ms <= until_ms`, where a bound that is not None excludes rows whose `time_ms` is NULL;
    - `min_id <= event_id <= max_id`;
    - `where`, unless it is "", with `params` for its question marks: SQL over the columns `event_id INTEGER`, `time_ms
      INTEGER` (may be NULL) and `canonical BLOB` (the canonical bytes). It can be joined to other conditions with AND,
      and needs `register` once on the connection and a database in UTF-8, which is SQLite's default.

    Bounds are inclusive, and None where the filter sets none.
    """

    kind_terms: tuple[Term, ...]
    sources: frozenset[str] | None
    source_terms: tuple[Term, ...]
    since_ms: int | None
    until_ms: int | None
    min_id: int | None
    max_id: int | None
    where: str
    params: tuple[Parameter, ...]

    @property
    def all_series(self) -> bool:
        """Whether no term speaks of kind, source or severity, so that no series need be looked at."""
        return not self.kind_terms and self.sources is None and not self.source_terms

    @property
    def source_text(self) -> str:
        """What the filter says of the source beside `sources`, as a filter."""
        return str(Filter(terms=self.source_terms))

    def kind_matches(self, kind: str) -> bool:
        """Whether the events of this kind pass every term about kind or severity."""
        return _passes(self.kind_terms, kind=kind)

    def source_matches(self, source: str) -> bool:
        """Whether the events of this source pass every term about the source that `sources` does not answer."""
        return _passes(self.source_terms, source=source)

    def series_matches(self, kind: str, source: str) -> bool:
        """Whether the events of this series pass every term about kind, source or severity."""
        return (
            self.kind_matches(kind) and (self.sources is None or source in self.sources) and self.source_matches(source)
        )


def plan(filter_: Filter, /) -> Plan:
    """The parts of a filter."""
    series, envelope, content = _split(filter_.terms)
    kind_terms = tuple(term for term in series if not isinstance(term.test, SourceIs))
    named = [names for term in series if (names := _named_sources(term)) is not None]
    ranges = [_hull(term.test) for term in envelope if isinstance(term.test, IdIn) and not term.negated]
    remaining = conjunction(
        [*map(envelope_condition, filter(_needs_sql, envelope)), *prefilters(content), *_content_condition(content)]
    )
    return Plan(
        kind_terms=kind_terms,
        sources=frozenset.intersection(*named) if named else None,
        source_terms=tuple(term for term in series if term not in kind_terms and _named_sources(term) is None),
        since_ms=max((t.test.at_ms for t in envelope if isinstance(t.test, Since) and not t.negated), default=None),
        until_ms=min((t.test.at_ms for t in envelope if isinstance(t.test, Until) and not t.negated), default=None),
        min_id=max((first for first, _ in ranges if first > 0), default=None),
        max_id=min((last for _, last in ranges if last is not None), default=None),
        where=remaining.sql,
        params=remaining.params,
    )


def _split(terms: Iterable[Term]) -> tuple[tuple[Term, ...], tuple[Term, ...], tuple[Term, ...]]:
    """The terms about the series, about id and time, and about the content."""
    series = tuple(term for term in terms if isinstance(term.test, KindIs | SourceIs | SeverityIs))
    envelope = tuple(term for term in terms if isinstance(term.test, IdIn | Since | Until))
    content = tuple(term for term in terms if isinstance(term.test, PayloadHas | TextContains))
    return series, envelope, content


def _named_sources(term: Term) -> frozenset[str] | None:
    """The sources that a term names one by one; None for a pattern, for what excludes, and for other terms."""
    if term.negated or not isinstance(term.test, SourceIs):
        return None
    if any(len(pattern.literals) > 1 for pattern in term.test.patterns):
        return None
    return frozenset(pattern.literals[0] for pattern in term.test.patterns)


def _passes(terms: Iterable[Term], *, kind: str = "", source: str = "") -> bool:
    return all(
        isinstance(term.test, SeriesTest) and series_holds(term.test, kind, source) is not term.negated
        for term in terms
    )


def _hull(test: IdIn) -> tuple[int, int | None]:
    """The smallest and the largest id that can match; the ranges ascend."""
    return test.ranges[0].first, test.ranges[-1].last


def _needs_sql(term: Term) -> bool:
    """Whether the bounds say less than this term about id or time."""
    return term.negated or (isinstance(term.test, IdIn) and len(term.test.ranges) > 1)


def _content_condition(terms: tuple[Term, ...]) -> Iterator[Condition]:
    """The exact test, in one call a row. Its text is canonical: every relative time in a filter is already resolved."""
    if terms:
        yield Condition("audit_match(?, canonical)", (str(Filter(terms=terms)),))
