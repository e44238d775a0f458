"""A payload as an outline: one line a value, in the order of the text, with parts folded away."""

from __future__ import annotations

import json
from bisect import bisect_left

import msgspec

from audit_stream.display import counted, safe

__all__ = ["Node", "Outline", "key_text", "value_text"]

_LONGEST_SHOWN = 1_000
"""Characters of one value that are prepared for a line: more than fits the widest screen."""


class Node(msgspec.Struct, gc=False):  # there are tens of thousands, and `value` is kept alive by the payload anyway
    """One value.

    `key` is its name or its position in the array, None for the whole; `end` the index after its last descendant;
    `parent` the index of what it is in, -1 for the whole.
    """

    key: str | int | None
    value: object
    depth: int
    parent: int
    end: int = 0
    folded: bool = False

    @property
    def foldable(self) -> bool:
        """Whether it is an object or an array with something in it."""
        return isinstance(self.value, dict | list) and bool(self.value)


class Outline:
    """The nodes of a payload, and which of them show; lines are counted from 0, and line 0 is the whole."""

    def __init__(self, payload: object) -> None:
        self.nodes = _flattened(payload)
        self._shown = list(range(len(self.nodes)))

    def __len__(self) -> int:
        return len(self._shown)

    def node(self, line: int) -> Node:
        """What stands in a line."""
        return self.nodes[self._shown[line]]

    def path(self, line: int) -> tuple[str | int, ...]:
        """How the value in a line is reached from the whole: keys, and positions in arrays."""
        keys: list[str | int] = []
        node = self.node(line)
        while node.key is not None:
            keys.append(node.key)
            node = self.nodes[node.parent]
        return tuple(reversed(keys))

    def parent(self, line: int) -> int:
        """The line of what the value is in; line 0 is in itself."""
        return bisect_left(self._shown, max(0, self.node(line).parent))

    def line_of(self, path: tuple[str | int, ...]) -> int | None:
        """The line of the value at a path, None when there is none or it is folded away."""
        index = 0
        for key in path:
            child, end = index + 1, self.nodes[index].end
            while child < end and self.nodes[child].key != key:
                child = self.nodes[child].end
            if child >= end:
                return None
            index = child
        line = bisect_left(self._shown, index)
        return line if line < len(self._shown) and self._shown[line] == index else None

    def fold(self, line: int, folded: bool) -> None:
        """Fold or unfold what stands in a line; nothing happens to what cannot fold."""
        node = self.node(line)
        if node.foldable and node.folded is not folded:
            node.folded = folded
            self._show()

    def fold_all(self, folded: bool) -> None:
        """Fold everything but the whole, or unfold everything."""
        for node in self.nodes[1:]:
            node.folded = folded and node.foldable
        self.nodes[0].folded = False
        self._show()

    def _show(self) -> None:
        shown: list[int] = []
        index = 0
        while index < len(self.nodes):
            shown.append(index)
            node = self.nodes[index]
            index = node.end if node.folded else index + 1
        self._shown = shown


def value_text(value: object, *, longest: int = _LONGEST_SHOWN) -> str:
    """A value as JSON writes it, on one line and safe; of an object or an array only how much is in it.

    A string of more than `longest` characters is cut there, and the quote after it left out.
    """
    match value:
        case dict():
            return f"{{{counted(len(value), 'key') if value else ''}}}"
        case list():
            return f"[{counted(len(value), 'element') if value else ''}]"
        case str() if len(value) > longest:
            return f"{_quoted(value[:longest])[:-1]}…"
        case str():
            return _quoted(value)
        case _:
            return json.dumps(value)


def key_text(key: str | int) -> str:
    """A key, safe: bare when nothing in it can be mistaken, otherwise in JSON's quotes; cut when it is very long."""
    if isinstance(key, int):
        return str(key)
    cut = key[:_LONGEST_SHOWN]
    return safe(cut) if cut.isidentifier() else _quoted(cut)


def _quoted(text: str) -> str:
    return safe(json.dumps(text, ensure_ascii=False))


def _flattened(payload: object) -> list[Node]:
    """All nodes, each before its descendants. A stack, because input sets the depth."""
    nodes: list[Node] = []
    stack: list[tuple[str | int | None, object, int, int]] = [(None, payload, 0, -1)]
    while stack:
        key, value, depth, parent = stack.pop()
        index = len(nodes)
        nodes.append(Node(key, value, depth, parent))
        if isinstance(value, dict):
            stack.extend((name, inner, depth + 1, index) for name, inner in reversed(value.items()))
        elif isinstance(value, list):
            last = len(value) - 1
            stack.extend((last - i, inner, depth + 1, index) for i, inner in enumerate(reversed(value)))
    _set_ends(nodes)
    return nodes


def _set_ends(nodes: list[Node]) -> None:
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        node.end = max(node.end, index + 1)
        if node.parent >= 0:
            parent = nodes[node.parent]
            parent.end = max(parent.end, node.end)
