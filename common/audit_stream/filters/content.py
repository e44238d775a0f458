"""What payload terms and free text see of an event."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from audit_stream.filters.globs import Glob, Substring
from audit_stream.filters.literals import constant_text
from audit_stream.filters.tree import (
    OPERATORS,
    Comparison,
    Constant,
    Number,
    PayloadHas,
    PayloadValue,
    Present,
    TextContains,
)

__all__ = ["Content"]

# Between the strings of an event, so that one search covers them all and finds nothing that spans two of them: half a
# surrogate pair is neither in an event nor in a filter.
_SEPARATOR = "\ud800"


class Content:
    """The content of one event, decoded once and prepared for search when the first free text asks for it."""

    def __init__(self, *, kind: str, source: str, payload: dict[str, Any]) -> None:
        self.kind = kind
        self.source = source
        self.payload = payload

    def has(self, test: PayloadHas | TextContains) -> bool:
        """Whether the test holds."""
        if isinstance(test, TextContains):
            return any(map(self._contains, test.substrings))
        found = _values_at(self.payload, test.path)
        return any(_accepts_any(value, found) for value in test.values)

    def _contains(self, substring: Substring) -> bool:
        if len(substring.literals) == 1:
            return substring.literals[0] in self._folded
        return any(map(substring.found_in, self._folded.split(_SEPARATOR)))

    @functools.cached_property
    def _folded(self) -> str:
        texts = [self.kind, self.source, *_texts(self.payload)]
        # Folded one by one: Python folds ASCII strings fast, and the separator would make the whole not ASCII.
        return _SEPARATOR.join(map(str.casefold, texts))


def _values_at(payload: dict[str, Any], path: tuple[str, ...]) -> list[Any]:
    """What stands at the path; arrays on the way count as each of their elements."""
    found: list[Any] = [payload]
    for key in path:
        found = [node[key] for node in _elements(found) if isinstance(node, dict) and key in node]
    return found


def _elements(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes, with the elements of an array, however deep, in its place. A stack, because input sets the depth."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        else:
            yield node


def _texts(payload: dict[str, Any]) -> Iterator[str]:
    """Every key and scalar: strings as they are, the others by their JSON text."""
    stack: list[Any] = [payload]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield from node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, str):
            yield node
        elif node is None or isinstance(node, bool):
            yield constant_text(node)
        else:
            yield repr(node)


def _accepts_any(value: PayloadValue, found: list[Any]) -> bool:
    if isinstance(value, Present):
        return bool(found)
    return any(_accepts(value, element) for element in _elements(found))


def _accepts(value: Constant | Number | Comparison | Glob, element: object) -> bool:
    match value:
        case Glob():
            return isinstance(element, str) and value.matches(element)
        case Constant():
            return element is value.value
        case Number():
            return element == value.text if isinstance(element, str) else _is_number(element) and element == value.value
        case Comparison():
            return _is_number(element) and OPERATORS[value.operator](element, value.value)


def _is_number(element: object) -> TypeGuard[int | float]:
    """Python's booleans are integers; JSON's are not."""
    return isinstance(element, int | float) and not isinstance(element, bool)
