"""Filter texts: one term more, one less, the term of a cell, the chosen kinds and sources.

Texts stay as they were typed, so that `since:15m` goes on meaning the last quarter of an hour whenever it is applied;
which terms are the same is decided by what they mean. A text that is no filter is kept whole, for `parsed` to refuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from audit_stream.kinds import KindRegistry
from audit_stream.timestamps import time_ms_or_none
from audit_tui.model.rows import Row

if TYPE_CHECKING:
    from audit_stream.filters import Filter, FilterError

__all__ = [
    "cell_term",
    "choose",
    "chosen",
    "negated",
    "parsed",
    "term_of",
    "widen",
    "with_term",
    "without_last_term",
]

_TWO_MOMENTS_MS = (1_780_000_000_000, 1_790_000_000_000)


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


def choose(text: str, kinds: Iterable[str], sources: Iterable[str]) -> str:
    """The filter with these kinds and sources, last, in place of those that it lists.

    Lists with a `*`, and what is left out by a `-`, were not chosen from a panel: they stay, as all other terms do.
    """
    terms = [term for term in _terms(text) if _listed(term) is None]
    chosen = (("kind", tuple(kinds)), ("source", tuple(sources)))
    return " ".join([*terms, *(term_of(field, *names) for field, names in chosen if names)])


def chosen(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds and the sources that the filter lists, in that order: what `choose` would replace."""
    found: dict[str, dict[str, None]] = {"kind": {}, "source": {}}
    for term in _terms(text):
        if (listed := _listed(term)) is not None:
            field, names = listed
            found[field] |= dict.fromkeys(names)
    return tuple(found["kind"]), tuple(found["source"])


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


def _listed(term: str) -> tuple[str, tuple[str, ...]] | None:
    """`kind` or `source` and the names of a term that lists whole ones; None of any other."""
    from audit_stream.filters import FilterError, parse
    from audit_stream.filters.tree import KindIs, SourceIs

    try:
        (read,) = parse(term, now_ms=_TWO_MOMENTS_MS[0]).terms
    except FilterError:
        return None
    if read.negated or not isinstance(read.test, KindIs | SourceIs):
        return None
    names = tuple("".join(pattern.literals) for pattern in read.test.patterns if len(pattern.literals) == 1)
    if len(names) < len(read.test.patterns):
        return None
    return ("kind" if isinstance(read.test, KindIs) else "source"), names


def _since(timestamp: str) -> str:
    from audit_stream.filters.tree import Since

    at_ms = time_ms_or_none(timestamp)
    try:
        return "" if at_ms is None else str(Since(at_ms=at_ms))
    except OverflowError:  # an offset leads out of the years 1 to 9999
        return ""
