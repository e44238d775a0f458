"""Which rows a filter lets through, at the price of a look-up wherever kind and source decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from audit_tui.model.rows import Row

if TYPE_CHECKING:
    from audit_stream.filters import Filter

__all__ = ["Passes", "everything", "passes"]

Passes = Callable[[Row], bool]


def everything(row: Row) -> bool:
    """No filter."""
    return True


def passes(filter_: Filter) -> Passes:
    """The filter as a function of a row. Kind, source and severity are decided once for each (kind, source)."""
    from audit_stream.filters import Filter, matches  # the parser takes 60 ms to import: not before the first frame
    from audit_stream.filters.matching import SeriesTest, series_holds

    series_terms = [term for term in filter_.terms if isinstance(term.test, SeriesTest)]
    rest = Filter(terms=tuple(term for term in filter_.terms if not isinstance(term.test, SeriesTest)))
    decided: dict[tuple[str, str], bool] = {}

    def series_pass(row: Row) -> bool:
        pair = (row.kind, row.source)
        holds = decided.get(pair)
        if holds is None:
            holds = all(series_holds(term.test, *pair) is not term.negated for term in series_terms)  # type: ignore[arg-type]  # chosen by isinstance above
            if len(decided) < 10_000:
                decided[pair] = holds
        return holds

    if not rest.terms:
        return series_pass
    return lambda row: series_pass(row) and matches(rest, row.event)
