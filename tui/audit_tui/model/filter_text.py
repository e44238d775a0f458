"""Filter texts: one term more, one less, the term of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit_stream.kinds import KindRegistry
from audit_tui.model.rows import Row

if TYPE_CHECKING:
    from audit_stream.filters import Filter, FilterError

__all__ = ["cell_term", "choose", "negated", "parsed", "term_of", "with_term", "without_last_term"]


def parsed(text: str, now_ms: int, kinds: KindRegistry) -> Filter | FilterError:
    """The filter, or what is wrong with it."""
    from audit_stream.filters import FilterError, parse

    try:
        return parse(text, now_ms=now_ms, kinds=kinds)
    except FilterError as error:
        return error


def words(text: str) -> list[str]:
    """The terms as they were typed: what stands between spaces outside quotes."""
    terms, word, quoted, escaped = [], "", False, False
    for char in text:
        if char.isspace() and not quoted:
            terms += [word] if word else []
            word = ""
            continue
        if char == '"' and not escaped:
            quoted = not quoted
        escaped = char == "\\" and not escaped
        word += char
    return [*terms, word] if word else terms


def negated(term: str) -> str:
    """Its opposite."""
    return term[1:] if term.startswith("-") else f"-{term}"


def with_term(text: str, term: str) -> str:
    """The filter and this term; a term that is there already changes nothing, its opposite is replaced."""
    terms = [word for word in words(text) if word not in (negated(term), term)]
    return " ".join([*terms, term])


def without_last_term(text: str) -> str:
    """The filter without its last term."""
    return " ".join(words(text)[:-1])


def cell_term(column: str, row: Row) -> str:
    """The term for a cell of the table; empty for the summary."""
    match column:
        case "kind":
            return f"kind:{_quoted(row.kind)}"
        case "source":
            return f"source:{_quoted(row.source)}"
        case "severity":
            return f"severity:{row.severity.label}"
        case "id":
            return f"id:{row.event_id}"
        case "time":
            return f"since:{row.timestamp.replace('+00:00', 'Z')}"
    return ""


def term_of(field: str, name: str) -> str:
    """The term for a kind or a source."""
    return f"{field}:{_quoted(name)}"


def choose(text: str, kinds: tuple[str, ...], sources: tuple[str, ...]) -> str:
    """The filter with these kinds and sources in place of those that it had."""
    terms = [word for word in words(text) if not word.startswith(("kind:", "source:"))]
    if kinds:
        terms.append("kind:" + ",".join(map(_quoted, kinds)))
    if sources:
        terms.append("source:" + ",".join(map(_quoted, sources)))
    return " ".join(terms)


def _quoted(value: str) -> str:
    from audit_stream.filters.literals import pattern_text

    return pattern_text((value,))
