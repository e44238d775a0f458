"""Filter texts: one term more, one less, the term of a cell, the kinds and sources that are chosen or left out.

Texts stay as they were typed, so that `since:15m` goes on meaning the last quarter of an hour whenever it is applied;
which terms are the same is decided by what they mean. A text that is no filter is kept whole, for `parsed` to refuse.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from audit_stream.kinds import KindRegistry
from audit_stream.timestamps import time_ms_or_none
from audit_tui.model.rows import Row

if TYPE_CHECKING:
    from audit_stream.filters import Filter, FilterError
    from audit_stream.filters.tree import KindIs, SourceIs

__all__ = [
    "Choice",
    "cell_term",
    "choose",
    "chosen",
    "negated",
    "parsed",
    "term_of",
    "toggle_excluded",
    "widen",
    "with_term",
    "without_last_term",
]

_TWO_MOMENTS_MS = (1_780_000_000_000, 1_790_000_000_000)


class Choice(NamedTuple):
    """What a filter says of whole kinds and sources, by name: those that it lists, and those that it leaves out."""

    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    not_kinds: tuple[str, ...] = ()
    not_sources: tuple[str, ...] = ()


def parsed(text: str, now_ms: int, kinds: KindRegistry) -> Filter | FilterError:
    """The filter, or what is wrong with it. Relative times count back from `now_ms` (Unix milliseconds)."""
    from audit_stream.filters import FilterError, parse

    try:
        return parse(text, now_ms=now_ms, kinds=kinds)
    except FilterError as error:
        return error


def negated(term: str) -> str:
    """The exact opposite of one term; "" of none."""
    return term[1:] if term.startswith("-") else term and f"-{term}"


def with_term(text: str, term: str) -> str:
    """The filter and this term, last. One that is there already changes nothing; its exact opposite is replaced."""
    terms = _terms(text)
    for added in _terms(term):
        meanings = [_meaning(each) for each in terms]
        if _meaning(added) not in meanings:
            opposite = _meaning(negated(added))
            terms = [each for each, meaning in zip(terms, meanings, strict=True) if meaning != opposite]
            terms.append(added)
    return " ".join(terms)


def without_last_term(text: str) -> str:
    """The filter without its last term."""
    return " ".join(_terms(text)[:-1])


def widen(text: str, term: str) -> str:
    """The filter without this term, wherever it stands and however it is written."""
    unwanted = {_meaning(each) for each in _terms(term)}
    return " ".join(each for each in _terms(text) if _meaning(each) not in unwanted)


def cell_term(column: str, row: Row) -> str:
    """The term for a cell of the table; "" where there is none: the summary, and a timestamp that is no instant."""
    from audit_stream.filters.tree import IdIn, IdRange, SeverityIs

    match column:
        case "kind" | "source":
            return term_of(column, row.kind if column == "kind" else row.source)
        case "severity":
            return str(SeverityIs(levels=(row.severity,), kinds=frozenset()))
        case "id":
            return str(IdIn(ranges=(IdRange(first=row.event_id, last=row.event_id),)))
        case "time":
            return _since(row.timestamp)
    return ""


def term_of(field: str, *names: str) -> str:
    """The term for any of these kinds or sources: `field` is `kind` or `source`."""
    from audit_stream.filters.globs import Glob
    from audit_stream.filters.tree import KindIs, SourceIs

    patterns = tuple(Glob(literals=(name,)) for name in names)
    return str(KindIs(patterns=patterns) if field == "kind" else SourceIs(patterns=patterns))


def choose(text: str, kinds: Iterable[str], sources: Iterable[str], *, cleared: bool = False) -> str:
    """The filter with these kinds and sources, last, in place of those that it lists.

    What is chosen is no longer left out by name: nothing would pass. `cleared` takes back all else that is left out by
    name as well. Patterns with a `*` were not chosen from a panel: they stay, as all other terms do.
    """
    wanted = {"kind": tuple(kinds), "source": tuple(sources)}
    terms = [each for each in _terms(text) if (named := _named(each)) is None or named.negated or not named.is_list]
    for field, names in wanted.items():
        terms = _without(terms, field, _names(terms, field, negated=True) if cleared else names, negated=True)
    return " ".join([*terms, *(term_of(field, *names) for field, names in wanted.items() if names)])


def toggle_excluded(text: str, field: str, name: str) -> str:
    """The filter with this kind or source left out, last, and not chosen any more; or let in, if it was left out."""
    terms = _terms(text)
    if name in _names(terms, field, negated=True):
        return " ".join(_without(terms, field, (name,), negated=True))
    return with_term(" ".join(_without(terms, field, (name,), negated=False)), negated(term_of(field, name)))


def chosen(text: str) -> Choice:
    """The kinds and sources that the filter lists, which `choose` would replace, and those that it leaves out."""
    terms = _terms(text)
    return Choice(*(_names(terms, field, negated=which) for which in (False, True) for field in ("kind", "source")))


def _names(terms: Iterable[str], field: str, *, negated: bool) -> tuple[str, ...]:
    """Those that the terms list, or leave out, in the order of the text."""
    found: dict[str, None] = {}
    for term in terms:
        named = _named(term)
        if named is not None and named.says(field, negated=negated):
            found |= dict.fromkeys(named.names)
    return tuple(found)


def _without(terms: Iterable[str], field: str, gone: Container[str], *, negated: bool) -> list[str]:
    """The terms less these names; a term stays as it was typed unless it had one of them."""
    kept = []
    for term in terms:
        named = _named(term)
        if named is not None and named.says(field, negated=negated) and any(name in gone for name in named.names):
            term = named.without(gone)
        kept.append(term)
    return [term for term in kept if term]


def _terms(text: str) -> list[str]:
    """The terms as they were typed."""
    from audit_stream.filters import FilterError
    from audit_stream.filters.syntax import read

    if not text.strip():
        return []
    try:
        found = read(text)
    except FilterError:
        return [text.strip()]
    starts = [(term.name or term.values[0]).position - term.negated for term in found]
    ends = [term.values[-1].position + term.values[-1].length for term in found]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _meaning(term: str) -> object:
    """Equal for terms that mean the same at every moment: a duration and an instant never do."""
    from audit_stream.filters import FilterError, parse

    try:
        return tuple(parse(term, now_ms=now_ms) for now_ms in _TWO_MOMENTS_MS)
    except FilterError:
        return term


class _Named(NamedTuple):
    """A term that speaks of kinds or of sources."""

    test: KindIs | SourceIs
    negated: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Those that it names whole."""
        return tuple(pattern.literals[0] for pattern in self.test.patterns if len(pattern.literals) == 1)

    @property
    def is_list(self) -> bool:
        """Whether it names all of them whole."""
        return len(self.names) == len(self.test.patterns)

    def says(self, field: str, *, negated: bool) -> bool:
        """Whether it lists, or leaves out, by name: beside a `*` a name is left out all the same, but not chosen."""
        is_field = str(self.test).startswith(f"{field}:")
        return is_field and self.negated is negated and (negated or self.is_list)

    def without(self, names: Container[str]) -> str:
        """The term less these names; "" when nothing is left of it."""
        patterns = tuple(each for each in self.test.patterns if len(each.literals) > 1 or each.literals[0] not in names)
        left = msgspec.structs.replace(self.test, patterns=patterns)
        return ("-" if self.negated else "") + str(left) if patterns else ""


def _named(term: str) -> _Named | None:
    """None of a term that speaks of something else."""
    from audit_stream.filters import FilterError, parse
    from audit_stream.filters.tree import KindIs, SourceIs

    try:
        (read,) = parse(term, now_ms=_TWO_MOMENTS_MS[0]).terms
    except FilterError:
        return None
    return _Named(read.test, read.negated) if isinstance(read.test, KindIs | SourceIs) else None


def _since(timestamp: str) -> str:
    from audit_stream.filters.tree import Since

    at_ms = time_ms_or_none(timestamp)
    try:
        return "" if at_ms is None else str(Since(at_ms=at_ms))
    except OverflowError:  # an offset leads out of the years 1 to 9999
        return ""
