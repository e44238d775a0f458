"""Find within what is shown: a plain text, no pattern."""

from __future__ import annotations

import re

__all__ = ["Finder"]


class Finder:
    """Finds one text; the empty one nowhere. Smart case: a text without upper-case letters is found in any case."""

    def __init__(self, text: str) -> None:
        self.text = text
        flags = re.IGNORECASE if text == text.lower() else re.NOFLAG
        self._pattern = re.compile(re.escape(text), flags) if text else None

    def matches(self, haystack: str) -> bool:
        """Whether the text stands anywhere in the haystack."""
        return self._pattern is not None and self._pattern.search(haystack) is not None

    def spans(self, haystack: str) -> list[tuple[int, int]]:
        """Where it stands, from left to right and without overlap: start and end in characters."""
        return [] if self._pattern is None else [match.span() for match in self._pattern.finditer(haystack)]
