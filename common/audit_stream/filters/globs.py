"""Patterns with `*`.

A pattern is kept as the literals between its stars and matched by finding them from left to right, so that no pattern
can make matching backtrack: a regular expression such as `.*a.*a.*a` could.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

__all__ = ["Glob", "Substring"]


class Glob(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern over a whole string: anything may stand between two literals. One literal alone means equality.

    Only the first and the last literal may be empty.
    """

    literals: tuple[str, ...]

    def matches(self, text: str) -> bool:
        """Whether the whole text has this form; case counts."""
        if len(self.literals) == 1:
            return text == self.literals[0]
        head, *middle, tail = self.literals
        end = len(text) - len(tail)
        if end < len(head) or not text.startswith(head) or not text.endswith(tail):
            return False
        return _in_order(middle, text, len(head), end)


class Substring(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern over any part of a string: the literals, casefolded and not empty, one after the other.

    No literal at all is found in everything.
    """

    literals: tuple[str, ...]

    def found_in(self, folded: str) -> bool:
        """Whether a text that is already casefolded contains this."""
        return _in_order(self.literals, folded, 0, len(folded))


def _in_order(literals: Sequence[str], text: str, start: int, end: int) -> bool:
    """Taking each literal at its first place is enough: a later place leaves less room for the rest."""
    for literal in literals:
        at = text.find(literal, start, end)
        if at < 0:
            return False
        start = at + len(literal)
    return True
