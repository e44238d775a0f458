"""What is wrong with a filter, where, and what to write instead."""

from __future__ import annotations

from audit_stream.errors import AuditStreamError

__all__ = ["FilterError", "shown"]


class FilterError(AuditStreamError, ValueError):
    """A text that is no filter; `message` says what to do about it, `str()` adds the position.

    `position` is the 0-based offset of the mistake in the text, in characters. `length` is how many characters are
    wrong: 0 where something is missing.
    """

    def __init__(self, message: str, *, position: int, length: int) -> None:
        super().__init__(f"{message} (position {position})")
        self.message = message
        self.position = position
        self.length = length


def shown(text: str) -> str:
    """The text in quotes for a message: control characters escaped, cut after 64 characters."""
    return repr(text if len(text) <= 64 else text[:63] + "…")
