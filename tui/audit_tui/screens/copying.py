"""The terminal's clipboard."""

from __future__ import annotations

from typing import Protocol

__all__ = ["copy"]

_BIG_COPY = 100_000
"""Characters from which some terminals refuse OSC 52."""


class _Clipboard(Protocol):
    def copy_to_clipboard(self, text: str) -> None: ...


def copy(app: _Clipboard, text: str) -> str:
    """Put a text there (OSC 52). What to add to "copied": "", or that it is so much that it may not have arrived."""
    app.copy_to_clipboard(text)
    return f": {len(text):,} characters, which some terminals refuse" if len(text) > _BIG_COPY else ""
